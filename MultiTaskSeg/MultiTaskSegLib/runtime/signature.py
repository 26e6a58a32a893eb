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
TINY = 1e-300


@dataclass(frozen=True)
class SignatureSpec:
    """Which signature to use.

    Attributes:
        variant: ``multilayer``: per layer log(s / sqrt(N)) with a relative floor, so that neither image size nor noise
            in vanishing directions counts. ``paper``: log(s) scaled to unit length (Karimi & Gholipour, published
            code: last decoder stage), kept as the baseline.
        layers: names of feature maps.
        floor: singular values below this share of the largest are raised to it; 0 for none.
    """

    variant: Literal["multilayer", "paper"]
    layers: tuple[str, ...]
    floor: float

    def __post_init__(self) -> None:
        if not self.layers or not 0 <= self.floor < 1:
            raise ModelError("the signature needs layers and a floor from 0 to 1", remedy="Fit the reference again")

    def vector(self, spectrum: LayerSpectrum) -> NDArray[np.float64]:
        """Signature ``(C,)`` of one layer."""
        values = spectrum.singular_values
        if self.variant == "paper":
            logs = np.log(np.maximum(values, max(self.floor * values[0], TINY)))
            return np.asarray(logs / np.linalg.norm(logs), dtype=np.float64)
        floored = np.maximum(values, max(self.floor * values[0], TINY))
        return np.asarray(np.log(floored / np.sqrt(spectrum.voxels)), dtype=np.float64)

    def vectors(self, spectra: Mapping[str, LayerSpectrum]) -> dict[str, NDArray[np.float64]]:
        """Signature ``(C,)`` by layer."""
        return {name: self.vector(spectra[name]) for name in self.layers}


def signature_spec(
    architecture: Architecture, variant: Literal["multilayer", "paper"], layers: tuple[str, ...] = ()
) -> SignatureSpec:
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
    return SignatureSpec("multilayer", layers or architecture.layer_names, MULTILAYER_FLOOR)
