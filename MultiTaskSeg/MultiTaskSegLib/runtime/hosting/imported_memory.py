"""How much memory a run of an imported model takes, in the terms of every other run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from MultiTaskSegLib.runtime.hosting.candidate_memory import NetworkMemory
from MultiTaskSegLib.runtime.hosting.memory_estimate import WRITING_BYTES, MemoryEstimate, StageMemory, waiting_bytes
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.preparation import preparing_bytes
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.imported.patch_memory import FLOAT, PatchMemory, image_sizes
from MultiTaskSegLib.runtime.thorough.change import stretched_copies

# What oneDNN keeps from its first convolutions on (measured: 34 MB in all), beyond what every run is told to take.
CONVOLUTION_BYTES = 24_000_000


class ImportedRunMemory:
    """What a run takes. There is one step: patches have the size that the model was planned for.

    Args:
        manifest: of the loaded model.
        volume: the image.
        is_thorough: whether further looks at changed copies of the image follow.
    """

    steps = 1

    def __init__(self, manifest: ImportedManifest, volume: Volume, *, is_thorough: bool = False) -> None:
        looks = (volume, *stretched_copies(volume)) if is_thorough else (volume,)
        sizes = max((image_sizes(look, manifest) for look in looks), key=lambda own: prod(own.grid))
        self._memory = PatchMemory(manifest, sizes, volume.channel_count)
        self._image_bytes = self._memory.image_bytes
        if is_thorough:
            self._image_bytes += self._memory.image_bytes + waiting_bytes(manifest.tasks, volume.voxels.size)
        self._verdict_bytes = 0
        if manifest.ood is not None:
            profile = manifest.tasks[0].profile
            judged = looks if profile.channel_count > 1 else [replace(look, further=()) for look in looks]
            frames = [input_frame(look, profile) for look in judged]
            self._verdict_bytes = max(preparing_bytes(frame, profile.channel_count) for frame in frames)

    def at(self, step: int) -> MemoryEstimate:
        """What the run takes with patches."""
        memory = self._memory
        held = self._image_bytes + memory.grid_bytes + memory.running_bytes + memory.slab_bytes
        patches = StageMemory("patches", held + CONVOLUTION_BYTES, NetworkMemory(memory.patch_bytes))
        return MemoryEstimate((*self.however_small().stages, patches))

    def however_small(self) -> MemoryEstimate:
        """What it takes beside the network."""
        memory, image = self._memory, self._image_bytes
        return MemoryEstimate(
            (
                StageMemory("preparing", image + memory.preparing_bytes),
                StageMemory("sums", image + memory.grid_bytes + memory.running_bytes + memory.slab_bytes),
                StageMemory("finishing", image + memory.grid_bytes + memory.running_bytes + memory.finishing_bytes),
                *self._verdict(),
                StageMemory("writing", WRITING_BYTES * memory.image_bytes // FLOAT),
            )
        )

    def _verdict(self) -> Iterator[StageMemory]:
        """The image prepared for its own statistics, beside what a segmentation holds; nothing where none is judged."""
        memory = self._memory
        if self._verdict_bytes:
            held = self._image_bytes + memory.grid_bytes + memory.finished_bytes
            yield StageMemory("verdict", held + self._verdict_bytes)
