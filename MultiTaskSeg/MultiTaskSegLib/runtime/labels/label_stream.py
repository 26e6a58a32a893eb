"""Labels and uncertainty from probabilities that arrive slab by slab, so that they are never all in memory.

Three steps follow one another, each behind by the few slices that it looks ahead: the temperature near the surface,
interpolation to the image's own grid, and the running arg-max.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.labels.grid_interpolation import SliceInterpolation, interpolate_plane
from MultiTaskSegLib.runtime.labels.largest_class import largest_class
from MultiTaskSegLib.runtime.labels.surface_band import SurfaceSoftening
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Triple

# Voxels x classes that are worked on at a time, so that they stay in the processor's cache.
CHUNK_VALUES = 2_000_000
SMALLEST_SHARE = 1e-12


class RunningLabels:
    """Arg-max, its probability and the entropy on the image's own grid, as far as probabilities have come.

    Args:
        classes: background and labels.
        shape: ``(Z, Y, X)`` of the grid.
        with_background: whether to remember the background's probability at labelled voxels.

    Attributes:
        index: uint8 ``(Z, Y, X)``, number of the most probable class.
        confidence: float32 ``(Z, Y, X)``, its probability.
        uncertainty: float32 ``(Z, Y, X)``, entropy in units of its largest value.
        voxels, overlaps: voxels labelled and sum of their confidence, by class.
        totals: sum of the probability, by class.
        seconds: that labelling took.
    """

    def __init__(self, classes: int, shape: Triple, with_background: bool) -> None:
        self.index = np.empty(shape, dtype=np.uint8)
        self.confidence = np.empty(shape, dtype=np.float32)
        self.uncertainty = np.empty(shape, dtype=np.float32)
        self.voxels, self.overlaps, self.totals = (np.zeros(classes) for _ in range(3))
        self._background: list[NDArray[np.float32]] | None = [] if with_background else None
        self._done = 0
        self.seconds = 0.0

    def push(self, shares: Tensor) -> None:
        """Take the next slices ``(classes, z, Y, X)``."""
        step = max(1, CHUNK_VALUES // prod((shares.shape[0], *shares.shape[2:])))
        for slab in shares.split(step, dim=1):
            self._add(slab.reshape(slab.shape[0], -1), slice(self._done, self._done + slab.shape[1]))
            self._done += slab.shape[1]

    def background(self) -> NDArray[np.float32]:
        """Probability of the background at the labelled voxels, in their order in the image."""
        return np.concatenate(self._background or [np.empty(0, dtype=np.float32)])

    def _add(self, shares: Tensor, target: slice) -> None:
        best, index = (found.cpu().numpy() for found in largest_class(shares))
        entropy = shares.clamp_min(SMALLEST_SHARE).log_().mul_(shares).sum(dim=0).cpu().numpy()
        entropy *= np.float32(-1.0 / np.log(len(self.totals)))
        shape = self.index[target].shape
        self.index[target] = index.reshape(shape)
        np.clip(best.reshape(shape), 0.0, 1.0, out=self.confidence[target])
        np.clip(entropy.reshape(shape), 0.0, 1.0, out=self.uncertainty[target])
        self.totals += shares.sum(dim=1).double().cpu().numpy()
        found = np.flatnonzero(index.view(np.bool_))
        if not len(found):
            return
        numbers, certain = index[found], np.minimum(best[found], 1.0)
        self.voxels += np.bincount(numbers, minlength=len(self.voxels))
        self.overlaps += np.bincount(numbers, certain, minlength=len(self.voxels))
        if self._background is not None:
            self._background.append(shares[0].cpu().numpy()[found])


class LabelStream:
    """From logits on the network's grid to labels on the image's own, slab by slab.

    Args:
        task: gives the temperatures.
        grid: ``(Z, Y, X)`` of the network's grid, without padding.
        shape: ``(Z, Y, X)`` of the image in canonical order.
    """

    def __init__(self, task: TaskInfo, grid: Triple, shape: Triple) -> None:
        self._temperature = task.temperature
        surface = task.surface_temperature
        self._softening = None if surface is None else SurfaceSoftening(task.temperature / surface)
        self._grid, self._shape = grid, shape
        self._interpolation = SliceInterpolation(grid[0], shape[0])
        self._seen = 0
        self.running = RunningLabels(1 + len(task.labels), shape, task.single_component)

    def push_logits(self, logits: Tensor) -> None:
        """Take logits ``(classes, z, Y, X)`` of the next slices; what lies beyond the grid is cut off."""
        started = time.perf_counter()
        slices = min(logits.shape[1], self._grid[0] - self._seen)
        if slices > 0:
            inside = logits[:, :slices, : self._grid[1], : self._grid[2]]
            self.push(torch.softmax(inside / self._temperature, dim=0))
        self.running.seconds += time.perf_counter() - started

    def push(self, shares: Tensor) -> None:
        """Take calibrated probabilities ``(classes, z, Y, X)`` of the next slices; they may be changed in place."""
        self._seen += shares.shape[1]
        last = self._seen == self._grid[0]
        for known in [shares] if self._softening is None else self._softening.push(shares, last):
            for slab in self._interpolated(known):
                self.running.push(slab)

    def _interpolated(self, shares: Tensor) -> Iterator[Tensor]:
        slices = self._interpolation.push(shares)
        if slices.shape[1] == 0:
            return
        step = max(1, CHUNK_VALUES // prod((shares.shape[0], *self._shape[1:])))
        for slab in slices.split(step, dim=1):
            yield interpolate_plane(slab, self._shape[1:])
