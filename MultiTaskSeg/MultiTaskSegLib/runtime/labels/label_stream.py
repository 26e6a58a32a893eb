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

from MultiTaskSegLib.runtime.errors import NOT_FINITE, NOT_FINITE_REMEDY, ModelError
from MultiTaskSegLib.runtime.labels.grid_interpolation import SliceInterpolation, interpolate_plane
from MultiTaskSegLib.runtime.labels.label_rows import LabelRows, label_rows, whole_plane
from MultiTaskSegLib.runtime.labels.largest_class import largest_class
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.labels.surface_band import RegionSoftening, SurfaceSoftening
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Triple

# Voxels x classes that are worked on at a time, so that they stay in the processor's cache.
CHUNK_VALUES = 2_000_000
SMALLEST_SHARE = 1e-12
# Arrays of the size of a chunk that are alive at a time.
CHUNK_COPIES = 4
# Bytes per voxel of a slab for labels, the band near the surface, and the numbers of the voxels within it.
BAND_BYTES = 16


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
        self._places: list[tuple[slice, slice]] = []
        self.seconds = 0.0

    @staticmethod
    def held_bytes(shape: Triple, with_background: bool) -> int:
        """Main memory that the maps of an image take at most, its every voxel being labelled."""
        return prod(shape) * (1 + 4 + 4 + (4 if with_background else 0))

    def backgrounds(self) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float32]]]:
        """Slices and rows, and the probability of the background at what was labelled there, in the image's order."""
        return zip(self._places, self._background or [], strict=True)

    def require_finite(self) -> None:
        """Refuse probabilities that are no numbers: they would be background that nobody doubts.

        Raises:
            ModelError: there are some.
        """
        if not np.isfinite(self.totals).all():
            raise ModelError(NOT_FINITE, remedy=NOT_FINITE_REMEDY)

    def remove(self, place: tuple[slice, slice], where: NDArray[np.bool_], background: NDArray[np.float32]) -> None:
        """Make background of labelled voxels.

        Args:
            place: slices and rows, one of `backgrounds`.
            where: bool ``(z, y, X)`` of it; voxels that are background already stay as they are.
            background: ``(N,)``, the probability of the background of those that change.
        """
        index, confidence = self.index[place], self.confidence[place]
        removed = where & (index > 0)
        numbers, classes = index[removed], len(self.voxels)
        self.voxels -= np.bincount(numbers, minlength=classes)
        self.overlaps -= np.bincount(numbers, confidence[removed], minlength=classes)
        index[removed], confidence[removed] = 0, background

    def put(self, shares: Tensor, slices: slice, rows: slice) -> None:
        """Take probabilities ``(classes, z, y, X)``, which may be changed in place.

        Args:
            shares: of some slices and rows.
            slices, rows: where they lie in the image.
        """
        target = (slices, rows)
        shares = shares.reshape(shares.shape[0], -1)
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
            self._places.append(target)


Running = RunningLabels | RunningRegions
"""What comes of a task: labels that exclude each other, or regions that may overlap."""


class LabelStream:
    """From logits on the network's grid to labels on the image's own, slab by slab, and strip by strip where need be.

    Args:
        task: gives the temperatures, and whether its labels are regions.
        grid: ``(Z, Y, X)`` of the network's grid, without padding.
        shape: ``(Z, Y, X)`` of the image in canonical order.

    Attributes:
        running: the labels so far.
    """

    def __init__(self, task: TaskInfo, grid: Triple, shape: Triple) -> None:
        self._task, self._grid, self._shape = task, grid, shape
        self.running: Running = (
            RunningRegions(len(task.labels), shape)
            if task.are_regions
            else RunningLabels(1 + len(task.labels), shape, task.single_component)
        )
        self._begin(whole_plane(grid[1], shape[1]), 0)

    @staticmethod
    def working_bytes(
        classes: int, grid: Triple, shape: Triple, slab_slices: int, rows: LabelRows | None = None
    ) -> int:
        """What is taken while a slab goes through, at most, where the network runs.

        Args:
            classes: background and labels.
            grid, shape: as for the constructor.
            slab_slices: of the thickest slab.
            rows: of the largest strip; None for whole planes.
        """
        rows = rows or whole_plane(grid[1], shape[1])
        slab: int = slab_slices * (rows.given.stop - rows.given.start) * grid[2]
        # Logits, over the temperature, softmax; a slab that waits for the band; those whose temperature changes.
        softening = 5 * 4 * classes * slab + BAND_BYTES * slab
        # Along z: slices of before, put together, and the result.
        finer = shape[0] / grid[0]
        along_z = 0 if shape[0] == grid[0] else int((2 + finer) * 4 * classes * slab)
        row: int = classes * shape[2]
        plane = row * (rows.wanted.stop - rows.wanted.start)
        chunk = 4 * max(row, min(CHUNK_VALUES, int(plane * (finer * slab_slices + 1))))
        # In the plane: the sum, the next neighbour; for the entropy a copy.
        return softening + along_z + CHUNK_COPIES * chunk

    def begin_strip(self, core: tuple[int, int], first: int) -> None:
        """What is pushed next is a strip of rows, from the first slice on.

        Args:
            core: first row of the network's grid that the strip stands for, and the one after the last.
            first: row of the grid that comes first in what is pushed, which has rows around the strip, too.
        """
        self._begin(label_rows(core, self._grid[1], self._shape[1]), first)

    def _begin(self, rows: LabelRows, first: int) -> None:
        surface = self._task.surface_temperature
        soften = RegionSoftening if self._task.are_regions else SurfaceSoftening
        self._softening = None if surface is None else soften(self._task.temperature / surface)
        self._interpolation = SliceInterpolation(self._grid[0], self._shape[0])
        self._rows, self._first, self._seen, self._labelled = rows, first, 0, 0

    def push_logits(self, logits: Tensor) -> None:
        """Take logits ``(classes, z, Y, X)`` of the next slices; what lies beyond the grid is cut off."""
        started = time.perf_counter()
        slices = min(logits.shape[1], self._grid[0] - self._seen)
        if slices > 0 and self._rows.wanted.stop > self._rows.wanted.start:
            given = self._rows.given
            inside = logits[:, :slices, given.start - self._first : given.stop - self._first, : self._grid[2]]
            scaled = inside / self._task.temperature
            self.push(torch.sigmoid(scaled) if self._task.are_regions else torch.softmax(scaled, dim=0))
        self.running.seconds += time.perf_counter() - started

    def push(self, shares: Tensor) -> None:
        """Take calibrated probabilities ``(classes, z, Y, X)`` of the next slices; they may be changed in place."""
        self._seen += shares.shape[1]
        last = self._seen == self._grid[0]
        for known in [shares] if self._softening is None else self._softening.push(shares, last):
            self._label(self._interpolation.push(known))

    def _label(self, slices: Tensor) -> None:
        """Interpolate whole slices of the image in the plane and take their labels, so much at a time as fits."""
        values = slices.shape[0] * self._shape[2]
        rows = self._rows.wanted
        thickness = max(1, CHUNK_VALUES // (values * (rows.stop - rows.start)))
        for slab in slices.split(thickness, dim=1) if slices.shape[1] else ():
            place = slice(self._labelled, self._labelled + slab.shape[1])
            for part in self._rows.parts(max(1, CHUNK_VALUES // (values * slab.shape[1]))):
                given = slice(part.given.start - self._rows.given.start, part.given.stop - self._rows.given.start)
                self.running.put(interpolate_plane(slab[:, :, given], self._shape[2], part), place, part.wanted)
            self._labelled = place.stop
