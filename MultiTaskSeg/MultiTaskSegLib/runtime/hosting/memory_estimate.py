"""How much memory a run will take, told before it starts by those who will take it.

`network.rehearsal` passes a sliver of the image through the network; labels, spectra, preparation and cells say what
they hold for given sizes. Here is only what is alive together with what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

import torch

from MultiTaskSegLib.runtime.hosting.candidate_memory import CandidateMemory, NetworkMemory
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.image.input_frame import InputFrame, input_frame
from MultiTaskSegLib.runtime.image.preparation import preparing_bytes
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.network.prospect import PLAIN, Prospect
from MultiTaskSegLib.runtime.prediction.candidate import only_task
from MultiTaskSegLib.runtime.thorough.change import stretched_copies

AUTO = "auto"
FLOAT_BYTES = 4
# A result in memory, and what writing it takes: voxels, labels, uncertainty and confidence; labels and uncertainty once
# more as images, and the uncertainty in the writer.
WRITING_BYTES = 4 + 1 + 4 + 4 + 1 + 4 + 4
# Of each region: itself, with its value, as part of an image, and in the writer.
WRITING_REGION_BYTES = 4
# Memory is taken in blocks of different sizes, and what lies between them cannot all be used again: a share of all, and
# of what comes and goes a multiple, as far as the C library does not map each block on its own (glibc: up to 32 MB, and
# it keeps twice as much). On a card, whose library keeps blocks of every size, a larger share.
HEAP_FACTOR, CARD_FACTOR = 1.1, 1.25
HOLES_FACTOR, LARGEST_HOLES_BYTES = 2, 64_000_000
# Of the result that waits while further looks are taken: labels, uncertainty and confidence.
WAITING_BYTES = 1 + 4 + 4
# What looks at an image of other sizes leave in libraries and in the heap (measured: 20 to 45 MB on the released 3-D
# model, beyond what a single look at the largest of them takes).
LEFT_BYTES = 48_000_000
# What libraries keep from their first use on, whatever the image.
LIBRARY_BYTES = 24_000_000


@dataclass(frozen=True)
class StageMemory:
    """What one stage of a run takes at most.

    Attributes:
        name: for people.
        host_bytes: of main memory, without the network.
        network: where the network runs.
    """

    name: str
    host_bytes: int
    network: NetworkMemory = field(default_factory=NetworkMemory)

    def peak_bytes(self, is_on_host: bool) -> int:
        """Of main memory, for a network that runs there, too, or on a card."""
        if not is_on_host:
            return int(HEAP_FACTOR * self.host_bytes)
        holes = min(HOLES_FACTOR * self.network.passing_bytes, LARGEST_HOLES_BYTES)
        return int(HEAP_FACTOR * (self.host_bytes + self.network.peak_bytes)) + holes


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run takes at most, beyond the loaded model.

    Attributes:
        stages: of all candidates.
        compiled_bytes: of main memory, what is compiled for the run and stays.
    """

    stages: tuple[StageMemory, ...]
    compiled_bytes: int = 0

    def host_bytes(self, is_on_host: bool) -> int:
        """Peak of the main memory, for a network that runs there, too, or on a card."""
        held = LIBRARY_BYTES + (self.compiled_bytes if is_on_host else 0)
        return held + max(stage.peak_bytes(is_on_host) for stage in self.stages)

    def card_bytes(self) -> int:
        """Peak of a card's memory."""
        return int(CARD_FACTOR * max(stage.network.peak_bytes for stage in self.stages))


def waiting_bytes(tasks: Sequence[TaskInfo], voxels: int) -> int:
    """What a result takes while further looks are taken, and what these leave; of regions that may overlap, each.

    Args:
        tasks: of the model.
        voxels: of the image.
    """
    overlapping = max((len(task.labels) for task in tasks if task.are_regions), default=0)
    return (WAITING_BYTES + overlapping) * voxels + LEFT_BYTES


def _largest_frame(looks: Sequence[Volume], profile: Profile) -> InputFrame:
    """Of one image in several voxel sizes, as it takes most of the network's grid."""
    return max((input_frame(look, profile) for look in looks), key=lambda frame: prod(frame.grid_shape))


class RunMemory:
    """What a run takes, by the step down the ladder of parts.

    Args:
        manifest: of the loaded model.
        candidates: profiles that are tried where the task is not given.
        volume: the image.
        purpose: of the run; its task is one of the model's.
        device: where the network runs; only its type counts.
        remembered: cells in the model's memory of a task.
        prospect: what may compute beside plain torch, on a processor. What is told is enough for either.
    """

    def __init__(
        self,
        manifest: Manifest,
        candidates: Sequence[Profile],
        volume: Volume,
        purpose: Purpose,
        device: torch.device,
        remembered: int = 0,
        prospect: Prospect = PLAIN,
    ) -> None:
        self._purpose, self._remembered = purpose, remembered
        self._architecture, self._prospect = manifest.architecture, prospect
        whole = volume.whole or volume
        self._voxels = whole.voxels.size  # of the result, which is as large as the whole image
        held = self._voxels + (0 if whole is volume else volume.voxels.size)
        self._image_bytes = FLOAT_BYTES * held * volume.channel_count
        if purpose.is_thorough:
            self._image_bytes += self._image_bytes + waiting_bytes(manifest.tasks, self._voxels)
        looks = (volume, *stretched_copies(volume)) if purpose.is_thorough else (volume,)
        known = None if purpose.task in (AUTO, None) else manifest.task(str(purpose.task))
        if purpose.task == AUTO:
            known = only_task(manifest.tasks, candidates)
        wanted = [] if purpose.task is None else [known] if known else list(manifest.tasks)
        self._candidates = [
            CandidateMemory(
                manifest.architecture,
                manifest.ood.layers,
                _largest_frame(looks, profile),
                tuple(task for task in wanted if task.profile == profile),
                known is None,
                device,
                volume.channel_count,
                prospect.is_compiled,
            )
            for profile in ([known.profile] if known else candidates)
        ]
        # The intensities of a part are measured on the whole, on the network's grid.
        wholes = [look.whole for look in looks if look.whole is not None]
        frames = [_largest_frame(wholes, profile) for profile in candidates] if wholes else []
        self._measuring_bytes = max((preparing_bytes(frame) for frame in frames), default=0)

    @property
    def steps(self) -> int:
        """How many steps the ladder has, each another way to take the image."""
        return max(candidate.steps for candidate in self._candidates)

    def at(self, step: int) -> MemoryEstimate:
        """What the run takes with the parts of a step."""
        stages = (*self._beside_network(), *self._before(), *self._with_network(step))
        return MemoryEstimate(stages, self._prospect.held_bytes(self._architecture))

    def however_small(self) -> MemoryEstimate:
        """What it takes whatever the parts, without the network."""
        return MemoryEstimate(tuple(self._beside_network()))

    @property
    def _waiting_bytes(self) -> int:
        """The prepared image of the best candidate so far, while another one is tried."""
        return max(c.grid_bytes for c in self._candidates) if len(self._candidates) > 1 else 0

    def _beside_network(self) -> Iterator[StageMemory]:
        for candidate in self._candidates:
            held = self._image_bytes + candidate.grid_bytes
            preparing = max(candidate.preparing_bytes, self._measuring_bytes)
            yield StageMemory("preparing", self._image_bytes + self._waiting_bytes + preparing)
            if self._purpose.with_map:
                yield StageMemory("locating", held + candidate.locating_bytes(self._remembered))
            if self._purpose.task is not None:
                labelled = held + candidate.running_bytes
                yield StageMemory("finishing", labelled + candidate.finishing_bytes)
                written = (WRITING_BYTES + WRITING_REGION_BYTES * candidate.regions) * self._voxels
                yield StageMemory("writing", written + self._image_bytes - FLOAT_BYTES * self._voxels)

    def _before(self) -> Iterator[StageMemory]:
        """What must be compiled and tried first, beside the image."""
        architecture, prospect = self._architecture, self._prospect
        if prospect.builds:
            yield StageMemory("compiling", self._image_bytes, NetworkMemory(prospect.building_bytes(architecture)))
        if prospect.is_tried:
            yield StageMemory("trying", self._image_bytes, NetworkMemory(prospect.trying_bytes(architecture)))

    def _with_network(self, step: int) -> Iterator[StageMemory]:
        kept = [candidate.kept_bytes(step) for candidate in self._candidates]
        waiting = max(kept) if len(kept) > 1 else 0
        for candidate, own in zip(self._candidates, kept, strict=True):
            held = self._image_bytes + candidate.grid_bytes
            preparing = self._image_bytes + self._waiting_bytes + candidate.preparing_bytes
            yield StageMemory("preparing", preparing, NetworkMemory(waiting))
            checking = candidate.checking(step)
            checking = NetworkMemory(waiting + max(own, checking.peak_bytes), checking.passing_bytes)
            yield StageMemory("checking", held + self._waiting_bytes, checking)
            yield StageMemory("labelling", held + candidate.running_bytes, candidate.labelling(step))
