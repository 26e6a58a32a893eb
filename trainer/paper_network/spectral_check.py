"""The published check: singular values of the last decoder stage, and the nearest training image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum

SPEC = SignatureSpec("paper", ("decoder0",), 0.0)
REDUCTION = 4
"""Of the resolution of feature maps along each axis, where they have so many voxels."""
DEVIATIONS = 2.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpectralCheck:
    """What an image is compared with.

    Attributes:
        signatures: of training images, ``(N, C)``.
        threshold: distance from which on an image is foreign.
    """

    signatures: Floats
    threshold: float

    @classmethod
    def of(cls, signatures: Floats) -> SpectralCheck:
        """Fit the threshold: mean and 2.5 standard deviations of the distances of the images from each other's nearest.

        Args:
            signatures: ``(N, C)`` of at least two images.
        """
        distances = np.linalg.norm(signatures[:, None] - signatures[None], axis=-1)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.min(axis=1)
        # Of images that are all alike the smallest difference is foreign.
        threshold = max(float(nearest.mean() + DEVIATIONS * nearest.std()), np.finfo(np.float64).tiny)
        return cls(signatures, threshold)

    def score(self, signature: Floats) -> float:
        """Distance of an image ``(C,)`` to the nearest training image, in units of the threshold."""
        return float(np.linalg.norm(self.signatures - signature, axis=-1).min() / self.threshold)


def signature(maps: NDArray[np.float32]) -> Floats:
    """Logarithms ``(C,)``, of unit length, of the singular values of coarse feature maps that are ``(C, Z, Y, X)``."""
    kernel = tuple(REDUCTION if n >= REDUCTION else 1 for n in maps.shape[1:])
    reduced = functional.avg_pool3d(torch.from_numpy(maps)[None], kernel, ceil_mode=True)[0]
    rows = reduced.flatten(1).T.double().numpy()
    values = np.zeros(rows.shape[1])
    found = np.linalg.svd(rows, compute_uv=False)
    values[: len(found)] = found
    return SPEC.vector(LayerSpectrum(values, len(rows), rows.mean(axis=0)))
