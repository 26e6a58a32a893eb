"""How much memory it takes to look at an image as one profile's tasks, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import preparing_bytes
from MultiTaskSegLib.runtime.labels.label_rows import label_rows
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream, RunningLabels
from MultiTaskSegLib.runtime.labels.labelling import finishing_bytes
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.convolution import route_of
from MultiTaskSegLib.runtime.network.network_stream import padded_shape
from MultiTaskSegLib.runtime.network.parts import Parts, largest_strip
from MultiTaskSegLib.runtime.network.rehearsal import PassMemory, pass_memory
from MultiTaskSegLib.runtime.ood.cell_features import cell_size
from MultiTaskSegLib.runtime.ood.cell_reference import locating_bytes
from MultiTaskSegLib.runtime.ood.spectrum import SpectrumCollector
from MultiTaskSegLib.runtime.prediction.pass_parts import (
    checking_context,
    checking_ladder,
    encoder_stages,
    labelling_context,
    labelling_ladder,
)

FLOAT_BYTES = 4


@dataclass(frozen=True)
class NetworkMemory:
    """What a pass takes where the network runs.

    Attributes:
        peak_bytes: at most.
        passing_bytes: of it, what comes and goes again while the rest stays.
    """

    peak_bytes: int = 0
    passing_bytes: int = 0


@dataclass(frozen=True)
class CandidateMemory:
    """Beside the image itself, and what waits of other candidates.

    Attributes:
        architecture: of the network.
        layers: of the signature.
        frame: of the image on the profile's grid.
        tasks: that may be labelled; none for a check.
        is_checked_first: whether the labels do not come from the same pass as the spectra.
        device: where the network runs; only its type counts.
        channels: of the image.
        is_compiled: whether a compiled back end computes.
    """

    architecture: Architecture
    layers: tuple[str, ...]
    frame: InputFrame
    tasks: tuple[TaskInfo, ...]
    is_checked_first: bool
    device: torch.device
    channels: int = 1
    is_compiled: bool = False

    @property
    def steps(self) -> int:
        """Of its ladder of parts."""
        return max(len(self._checking_ladder), len(self._labelling_ladder))

    @property
    def grid_bytes(self) -> int:
        """Main memory of the prepared image."""
        return FLOAT_BYTES * self.channels * prod(self.frame.grid_shape)

    @property
    def running_bytes(self) -> int:
        """Main memory of labels, confidence and uncertainty while they come."""
        shape, regions = self.frame.window.shape, self.regions
        labels = any(not task.are_regions for task in self.tasks)
        return max(
            RunningRegions.held_bytes(regions, shape) if regions else 0,
            RunningLabels.held_bytes(shape, self._is_single) if labels else 0,
        )

    @property
    def regions(self) -> int:
        """The most regions of a task; 0 where labels exclude each other."""
        return max((len(task.labels) for task in self.tasks if task.are_regions), default=0)

    @property
    def preparing_bytes(self) -> int:
        """Main memory while the image is brought onto the network's grid."""
        return preparing_bytes(self.frame, self.channels)

    @property
    def finishing_bytes(self) -> int:
        """Main memory while the labels are finished, beside them."""
        return finishing_bytes(self.frame, self._is_single, self.regions)

    def locating_bytes(self, remembered: int) -> int:
        """Main memory for the map of foreign places, with ``remembered`` cells in the memory of a task."""
        sides = zip(self.frame.grid_shape, cell_size(self.architecture), strict=True)
        return locating_bytes(self.frame, remembered, prod(-(-n // side) for n, side in sides), self.channels)

    def checking(self, step: int) -> NetworkMemory:
        """The pass that gives the spectra alone; nothing where the labels come with them."""
        if not self.is_checked_first:
            return NetworkMemory()
        memory = self._checking(step)
        looking = memory.watching_bytes + self._looking_bytes(*self._checking_parts(step))
        return NetworkMemory(self._spectra_bytes + max(memory.peak_bytes, looking), memory.passing_bytes)

    def kept_bytes(self, step: int) -> int:
        """Where the network runs: encoder maps that wait after the check for the labels."""
        return self._checking(step).kept_bytes if self.is_checked_first else 0

    def labelling(self, step: int) -> NetworkMemory:
        """The pass that gives the labels; nothing for a check."""
        if not self.tasks:
            return NetworkMemory()
        ladder = self._labelling_ladder
        parts = ladder[min(step, len(ladder) - 1)]
        context = labelling_context(self.architecture, self.frame.grid_shape, self.frame.window.shape)
        padded = self._largest(parts, context)
        keeps = parts.keep_bytes > 0 and self._stages is not None
        memory = pass_memory(
            self.architecture,
            padded,
            parts.slices,
            route_of(self.device),
            encoder_stages=self._stages if keeps else None,
            keep_bytes=parts.keep_bytes,
            stem=self._stem,
            is_compiled=self.is_compiled,
        )
        labelling = memory.handing_bytes + self._label_bytes(parts, memory.slab_slices)
        peak = max(memory.decoding_bytes, labelling)
        if not self.is_checked_first:
            looking = memory.watching_bytes + self._looking_bytes(parts, padded)
            peak = self._spectra_bytes + max(peak, looking)
        return NetworkMemory(peak, memory.passing_bytes)

    @cached_property
    def _checking_ladder(self) -> tuple[Parts, ...]:
        if not self.is_checked_first:
            return ()
        grid = self.frame.grid_shape
        return checking_ladder(self.architecture, grid, self.layers, self.device, keep=bool(self.tasks))

    @cached_property
    def _labelling_ladder(self) -> tuple[Parts, ...]:
        if not self.tasks:
            return ()
        grid, shape = self.frame.grid_shape, self.frame.window.shape
        return labelling_ladder(self.architecture, grid, shape, self.device, keep=self.is_checked_first)

    @property
    def _stages(self) -> int | None:
        return encoder_stages(self.layers)

    @property
    def _stem(self) -> int:
        """Any that takes as many channels: all of them take as much."""
        return self.architecture.stems.index(self.channels)

    @property
    def _is_single(self) -> bool:
        return any(task.single_component for task in self.tasks)

    def _checking(self, step: int) -> PassMemory:
        parts, padded = self._checking_parts(step)
        return pass_memory(
            self.architecture,
            padded,
            parts.slices,
            route_of(self.device),
            encoder_stages=self._stages,
            keep_bytes=parts.keep_bytes,
            decodes=self._stages is None,
            stem=self._stem,
            is_compiled=self.is_compiled,
        )

    def _checking_parts(self, step: int) -> tuple[Parts, Triple]:
        parts = self._checking_ladder[min(step, len(self._checking_ladder) - 1)]
        return parts, self._largest(parts, checking_context(self.architecture, self.layers))

    def _largest(self, parts: Parts, context: int) -> Triple:
        return largest_strip(padded_shape(self.architecture, self.frame.grid_shape), parts.rows, context)

    @property
    def _spectra_bytes(self) -> int:
        return SpectrumCollector.held_bytes(self.architecture, self.layers)

    def _looking_bytes(self, parts: Parts, padded: Triple) -> int:
        slab = (min(parts.slices, padded[0]), padded[1], padded[2])
        return SpectrumCollector.working_bytes(self.architecture, self.layers, slab)

    def _label_bytes(self, parts: Parts, slab_slices: int) -> int:
        grid, shape = self.frame.grid_shape, self.frame.window.shape
        # Near its surface each region is there or not: two shares for one.
        classes = max(2 * len(task.labels) if task.are_regions else 1 + len(task.labels) for task in self.tasks)
        # A strip in the middle has rows around it on either side.
        middle = grid[1] // 2
        rows = None if parts.rows is None else label_rows((middle, middle + parts.rows), grid[1], shape[1])
        return LabelStream.working_bytes(classes, grid, shape, slab_slices, rows)
