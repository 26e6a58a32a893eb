"""Signatures: what of an image's spectra is compared with the training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.ood.image_statistics import STATISTICS, ImageStatistics, image_statistics
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum

MULTILAYER_FLOOR = 1e-4
# Over several trainings the encoder alone told spoilt images at least as well as all layers (docs/results), and the
# fifth stage of 2-D networks, a few voxels wide, added noise.
WHITENED_STAGES = 4
TINY = 1e-300

Variant = Literal["composite", "whitened", "multilayer", "paper"]
SPECTRUM, MEANS = "spectrum", "means"
IMAGE = "image"

# By layer name; the key ``image`` holds the statistics of the image itself.
Observed = Mapping[str, LayerSpectrum | ImageStatistics]


@dataclass(frozen=True)
class SignatureSpec:
    """Which signature to use.

    Attributes:
        variant: ``whitened``: per layer two vectors, log(s / sqrt(N)) with a relative floor and the channel means,
            compared after a projection that makes the spread within the tasks white; singular values tell how the
            features vary over the image, means where they lie. ``composite``: the same and the texture, layout and
            shading of the image itself, see `ImageStatistics`; blocks are combined by the root mean square of their
            distances.
            ``multilayer``: log(s / sqrt(N)) alone, as it is.
            ``paper``: log(s) scaled to unit length (Karimi & Gholipour, published code: last decoder stage), kept as
            the baseline.
        layers: names of feature maps.
        floor: singular values below this share of the largest are raised to it; 0 for none.
        statistics: of the image itself, names in `STATISTICS`; only ``composite`` looks at them.
    """

    variant: Variant
    layers: tuple[str, ...]
    floor: float
    statistics: tuple[str, ...] = STATISTICS

    def __post_init__(self) -> None:
        if not (self.layers or self.uses_image) or not 0 <= self.floor < 1:
            raise ModelError("the signature needs layers and a floor from 0 to 1", remedy="Fit the reference again")
        if self.uses_image and (not self.statistics or not set(self.statistics) <= set(STATISTICS)):
            raise ModelError(
                f"statistics of the image are {', '.join(self.statistics) or 'none'}, known {', '.join(STATISTICS)}",
                remedy="Update MultiTaskSeg or fit the reference again",
            )

    @property
    def is_whitened(self) -> bool:
        """Whether blocks are projected before they are compared."""
        return self.variant in ("whitened", "composite")

    @property
    def uses_image(self) -> bool:
        """Whether the image's own statistics belong to the signature."""
        return self.variant == "composite"

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the vectors of a signature: ``LAYER``, or ``LAYER.spectrum``, ``LAYER.means``, ``image.PART``."""
        if not self.is_whitened:
            return self.layers
        layers = tuple(f"{layer}.{part}" for layer in self.layers for part in (SPECTRUM, MEANS))
        return layers + (tuple(f"{IMAGE}.{name}" for name in self.statistics) if self.uses_image else ())

    def image_part(self, voxels: NDArray[np.float32], planar: bool, channels: int = 1) -> dict[str, ImageStatistics]:
        """What is observed of a prepared image itself (`image_statistics`); empty where the signature does without."""
        return {IMAGE: image_statistics(voxels, planar, channels)} if self.uses_image else {}

    def vectors(self, observed: Observed) -> dict[str, NDArray[np.float64]]:
        """Signature: ``(C,)`` by block."""
        vectors = {}
        for block in self.blocks:
            name, _, part = block.partition(".")
            seen = observed[name]
            if isinstance(seen, ImageStatistics):
                vectors[block] = seen.values[part]
            else:
                vectors[block] = seen.channel_means if part == MEANS else self.vector(seen)
        return vectors

    def combined(self, logs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm ``(T,)`` of the distance to each task from the logarithms ``(blocks, T)`` by block.

        The geometric mean asks for a difference in most blocks. A fault of the scanner shows in some only, which the
        root mean square does not dilute.
        """
        if self.variant == "composite":
            return np.asarray(0.5 * np.log(np.mean(np.exp(2 * logs), axis=0)))
        return np.asarray(logs.mean(axis=0))

    def vector(self, spectrum: LayerSpectrum) -> NDArray[np.float64]:
        """What the singular values ``(C,)`` of one layer say."""
        values = spectrum.singular_values
        floored = np.maximum(values, max(self.floor * values[0], TINY))
        if self.variant == "paper":
            logs = np.log(floored)
            return np.asarray(logs / np.linalg.norm(logs), dtype=np.float64)
        return np.asarray(np.log(floored / np.sqrt(spectrum.voxels)), dtype=np.float64)


def signature_spec(architecture: Architecture, variant: Variant, layers: tuple[str, ...] = ()) -> SignatureSpec:
    """The default layers and floor of a variant.

    Raises:
        ModelError: a layer does not exist.
    """
    unknown = set(layers) - set(architecture.layer_names)
    if unknown:
        raise ModelError(
            f"there is no layer {', '.join(sorted(unknown))}",
            remedy=f"Layers are {', '.join(architecture.layer_names)}",
        )
    if variant == "paper":
        return SignatureSpec("paper", layers or ("decoder0",), 0.0)
    if variant in ("composite", "whitened"):
        encoder = tuple(name for name in architecture.layer_names if name.startswith("encoder"))
        layers = layers or encoder[:WHITENED_STAGES]
    return SignatureSpec(variant, layers or architecture.layer_names, MULTILAYER_FLOOR)
