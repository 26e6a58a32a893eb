"""Calibration near the predicted surface, where networks are most overconfident (after Ding et al., ICCV 2021).

One temperature for all voxels is a compromise between the interior, where the network is right, and the surface, where
its errors are. The distance to the surface that the network itself predicts is known for every image, so the two can
have temperatures of their own without a look at the truth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.labels.largest_class import largest_class

BAND_VOXELS = 2

Value = TypeVar("Value", bound=np.generic)


def near_surface(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Voxels of uint8 ``(Z, Y, X)`` at most `BAND_VOXELS` away from a voxel with another label.

    One slice makes an image in the plane; the band is False everywhere when there is only one label. Lines of x follow
    one another in memory, so they are compared as one long line, which is several times as fast as line by line; what
    reaches over from one line to the next is wiped out.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    if labels.size == 0 or labels.min() == labels.max():
        return edge
    for axis in (0, 1):
        lower, upper = _neighbours(labels, axis)
        changes = lower != upper
        for side in _neighbours(edge, axis):
            side |= changes
    line, flat = labels.reshape(-1), edge.reshape(-1)
    changes = np.zeros(labels.shape, dtype=bool)
    np.not_equal(line[:-1], line[1:], out=changes.reshape(-1)[:-1])
    changes[..., -1] = False
    flat |= changes.reshape(-1)
    flat[1:] |= changes.reshape(-1)[:-1]
    return _grown(edge)


def _grown(edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With the six neighbours of every voxel."""
    band: NDArray[np.bool_] = edge.copy()
    for axis in (0, 1):
        for side, others in zip(_neighbours(band, axis), reversed(_neighbours(edge, axis)), strict=True):
            side |= others
    flat = band.reshape(-1)
    shifted = edge.copy()
    shifted[..., 0] = False
    flat[:-1] |= shifted.reshape(-1)[1:]
    shifted = edge.copy()
    shifted[..., -1] = False
    flat[1:] |= shifted.reshape(-1)[:-1]
    return band


def _neighbours(array: NDArray[Value], axis: int) -> tuple[NDArray[Value], NDArray[Value]]:
    """All but the last and all but the first along an axis."""
    before: list[slice] = [slice(None)] * array.ndim
    after = list(before)
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return array[tuple(before)], array[tuple(after)]


class SurfaceSoftening:
    """Gives voxels near the predicted surface another temperature; the most probable label stays what it is.

    ``softmax(z / t)`` is ``p**(T / t)`` over its sum, with ``p = softmax(z / T)``: the logits are not needed. Slabs
    follow one another along z; results lag behind by the slices that the band looks ahead.

    Args:
        exponent: temperature of the probabilities over the one near the surface.
    """

    def __init__(self, exponent: float) -> None:
        self._exponent = exponent
        self._waiting: deque[Tensor] = deque()
        self._begun = 0
        self._labels: NDArray[np.uint8] | None = None
        self._context = 0

    def push(self, shares: Tensor, last: bool) -> list[Tensor]:
        """Take probabilities ``(classes, z, Y, X)``, which may be changed in place when their turn comes.

        Returns:
            In the order of z the slabs of whose every slice the surroundings are known.
        """
        labels = largest_class(shares)[1].cpu().numpy()
        if self._labels is not None:
            labels = np.concatenate((self._labels, labels))
        self._waiting.append(shares.contiguous())
        done = len(labels) if last else max(self._context, len(labels) - BAND_VOXELS)
        near = near_surface(labels)[self._context : done]
        keep = max(0, done - BAND_VOXELS)
        self._labels, self._context = labels[keep:], done - keep
        return list(self._softened(near))

    def _softened(self, near: NDArray[np.bool_]) -> Iterator[Tensor]:
        """Soften as many slices from the front of those that wait as ``near`` has; yield the slabs that are done."""
        while len(near):
            slab = self._waiting[0]
            slices = min(slab.shape[1] - self._begun, len(near))
            self._soften(slab[:, self._begun : self._begun + slices], near[:slices])
            self._begun, near = self._begun + slices, near[slices:]
            if self._begun == slab.shape[1]:
                self._begun = 0
                yield self._waiting.popleft()

    def _soften(self, shares: Tensor, near: NDArray[np.bool_]) -> None:
        index = torch.from_numpy(np.flatnonzero(near)).to(shares.device)
        if len(index):
            flat = shares.view(len(shares), -1)
            chosen = flat.index_select(1, index)
            # The largest becomes 1: of a large exponent nothing else would be left, and no sum to divide by.
            chosen.div_(chosen.amax(dim=0)).pow_(self._exponent)
            flat.index_copy_(1, index, chosen.div_(chosen.sum(dim=0)))


class RegionSoftening:
    """The same for regions that may overlap: each has a surface of its own, between itself and everything else.

    Args:
        exponent: see `SurfaceSoftening`.
    """

    def __init__(self, exponent: float) -> None:
        self._exponent = exponent
        self._by_region: list[SurfaceSoftening] = []

    def push(self, shares: Tensor, last: bool) -> list[Tensor]:
        """Take the regions' probabilities ``(R, z, Y, X)``; returns as `SurfaceSoftening.push`."""
        if not self._by_region:
            self._by_region = [SurfaceSoftening(self._exponent) for _ in shares]
        pairs = zip(self._by_region, shares, strict=True)
        done = [softening.push(torch.stack((1 - own, own)), last) for softening, own in pairs]
        # All lag behind alike, because that depends on the numbers of slices alone.
        return [torch.stack([slab[1] for slab in slabs]) for slabs in zip(*done, strict=True)]
