"""Signatures: what of an image's spectra is compared with the training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network import Architecture
from MultiTaskSegLib.runtime.spectrum import LayerSpectrum

MULTILAYER_FLOOR = 1e-4
# Over several trainings the encoder alone told spoilt images at least as well as all layers (docs/results), and the
# fifth stage of 2-D networks, a few voxels wide, added noise.
WHITENED_STAGES = 4
TINY = 1e-300

Variant = Literal["whitened", "multilayer", "paper"]
SPECTRUM, MEANS = "spectrum", "means"


@dataclass(frozen=True)
class SignatureSpec:
    """Which signature to use.

    Attributes:
        variant: ``whitened``: per layer two vectors, log(s / sqrt(N)) with a relative floor and the channel means,
            compared after a projection that makes the spread within the tasks white; singular values tell how the
            features vary over the image, means where they lie. ``multilayer``: log(s / sqrt(N)) alone, as it is.
            ``paper``: log(s) scaled to unit length (Karimi & Gholipour, published code: last decoder stage), kept as
            the baseline.
        layers: names of feature maps.
        floor: singular values below this share of the largest are raised to it; 0 for none.
    """

    variant: Variant
    layers: tuple[str, ...]
    floor: float

    def __post_init__(self) -> None:
        if not self.layers or not 0 <= self.floor < 1:
            raise ModelError("the signature needs layers and a floor from 0 to 1", remedy="Fit the reference again")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the vectors that make up a signature: ``LAYER``, or ``LAYER.spectrum`` and ``LAYER.means``."""
        if self.variant != "whitened":
            return self.layers
        return tuple(f"{layer}.{part}" for layer in self.layers for part in (SPECTRUM, MEANS))

    def vectors(self, spectra: Mapping[str, LayerSpectrum]) -> dict[str, NDArray[np.float64]]:
        """Signature: ``(C,)`` by block."""
        if self.variant != "whitened":
            return {layer: self.vector(spectra[layer]) for layer in self.layers}
        vectors = {f"{layer}.{SPECTRUM}": self.vector(spectra[layer]) for layer in self.layers}
        vectors |= {f"{layer}.{MEANS}": spectra[layer].channel_means for layer in self.layers}
        return {block: vectors[block] for block in self.blocks}

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
    if variant == "whitened":
        encoder = tuple(name for name in architecture.layer_names if name.startswith("encoder"))
        layers = layers or encoder[:WHITENED_STAGES]
    return SignatureSpec(variant, layers or architecture.layer_names, MULTILAYER_FLOOR)
