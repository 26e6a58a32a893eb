"""Sums over the network's output of one task, from which the output-based detectors are computed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class OutputStatistics:
    """Sums over voxels; foreground is where the most likely label is not background, boundary its inner and outer rim.

    Attributes:
        voxels, foreground, boundary: numbers of voxels.
        entropy, entropy_foreground, entropy_boundary: sums of the predictive entropy in units of its maximum.
        doubt, doubt_foreground: sums of 1 - the largest probability (Hendrycks & Gimpel 2017).
        energy, energy_foreground: sums of the free energy -logsumexp(logits) (Liu et al. 2020).
    """

    voxels: float = 0.0
    foreground: float = 0.0
    boundary: float = 0.0
    entropy: float = 0.0
    entropy_foreground: float = 0.0
    entropy_boundary: float = 0.0
    doubt: float = 0.0
    doubt_foreground: float = 0.0
    energy: float = 0.0
    energy_foreground: float = 0.0

    def plus(self, logits: Tensor, core: tuple[slice, ...]) -> OutputStatistics:
        """With the core of a tile added.

        Args:
            logits: ``(1 + labels, Z, Y, X)`` of the whole tile, so that the boundary is seen across tile borders.
            core: the part to count.
        """
        log_p = functional.log_softmax(logits, dim=0)
        p = log_p.exp()
        entropy = -(p * log_p).sum(dim=0) / np.log(len(logits))
        peak, label = p.max(dim=0)
        rim = rim_of(label > 0).float()
        fore, energy = (label > 0).float(), -torch.logsumexp(logits, dim=0)
        maps = [torch.ones_like(fore), fore, rim, entropy, entropy * fore, entropy * rim]
        maps += [1 - peak, (1 - peak) * fore, energy, energy * fore]
        sums = [float(m[core].double().sum()) for m in maps]
        return OutputStatistics(*(a + b for a, b in zip(dataclasses.astuple(self), sums, strict=True)))

    def as_array(self) -> NDArray[np.float64]:
        """All sums in the order of the fields."""
        return np.array(dataclasses.astuple(self))

    @classmethod
    def from_array(cls, values: NDArray[np.float64]) -> OutputStatistics:
        """The inverse of `as_array`."""
        return cls(*(float(v) for v in values))


def rim_of(mask: Tensor) -> Tensor:
    """Voxels of ``(Z, Y, X)`` with a neighbour across a face on the other side of the mask's surface."""
    rim = torch.zeros_like(mask)
    for axis, length in enumerate(mask.shape):
        near, far = mask.narrow(axis, 0, length - 1), mask.narrow(axis, 1, length - 1)
        differs = near != far
        rim.narrow(axis, 0, length - 1).logical_or_(differs)
        rim.narrow(axis, 1, length - 1).logical_or_(differs)
    return rim
