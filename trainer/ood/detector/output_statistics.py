"""Sums over the network's output of one task, from which the output-based detectors are computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SLAB_LOGITS = 8_000_000


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
        total = self
        for part, inside in _parts(logits, core):
            total = total._plus_part(part.float(), inside)
        return total

    def _plus_part(self, logits: Tensor, core: tuple[slice, ...]) -> OutputStatistics:
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


def _parts(logits: Tensor, core: tuple[slice, ...]) -> Iterator[tuple[Tensor, tuple[slice, ...]]]:
    """The core in slabs with one voxel around, and where the slab's own part lies: dozens of classes need memory."""
    sizes = logits.shape[1:]
    spans = [range(*s.indices(n)) for s, n in zip(core, sizes, strict=True)]
    in_slab = max(1, SLAB_LOGITS // max(1, logits.shape[0] * len(spans[1]) * len(spans[2])))
    for first in range(spans[0].start, spans[0].stop, in_slab):
        own = [range(first, min(first + in_slab, spans[0].stop)), *spans[1:]]
        outer = [slice(max(r.start - 1, 0), min(r.stop + 1, n)) for r, n in zip(own, sizes, strict=True)]
        inner = tuple(slice(r.start - o.start, r.stop - o.start) for r, o in zip(own, outer, strict=True))
        index: tuple[slice, ...] = (slice(None), *outer)
        yield logits[index], inner


def rim_of(mask: Tensor) -> Tensor:
    """Voxels of ``(Z, Y, X)`` with a neighbour across a face on the other side of the mask's surface."""
    rim = torch.zeros_like(mask)
    for axis, length in enumerate(mask.shape):
        near, far = mask.narrow(axis, 0, length - 1), mask.narrow(axis, 1, length - 1)
        differs = near != far
        rim.narrow(axis, 0, length - 1).logical_or_(differs)
        rim.narrow(axis, 1, length - 1).logical_or_(differs)
    return rim
