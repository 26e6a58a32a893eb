"""How much memory a run of an imported model takes, in the terms of every other run."""

from __future__ import annotations

from MultiTaskSegLib.runtime.hosting.candidate_memory import NetworkMemory
from MultiTaskSegLib.runtime.hosting.memory_estimate import WRITING_BYTES, MemoryEstimate, StageMemory
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.imported.patch_memory import FLOAT, PatchMemory, image_sizes

# What oneDNN keeps from its first convolutions on (measured: 34 MB in all), beyond what every run is told to take.
CONVOLUTION_BYTES = 24_000_000


class ImportedRunMemory:
    """What a run takes. There is one step: patches have the size that the model was planned for.

    Args:
        manifest: of the loaded model.
        volume: the image.
    """

    steps = 1

    def __init__(self, manifest: ImportedManifest, volume: Volume) -> None:
        self._memory = PatchMemory(manifest, image_sizes(volume, manifest), volume.channel_count)

    def at(self, step: int) -> MemoryEstimate:
        """What the run takes with patches."""
        memory = self._memory
        held = memory.image_bytes + memory.grid_bytes + memory.running_bytes + memory.slab_bytes
        patches = StageMemory("patches", held + CONVOLUTION_BYTES, NetworkMemory(memory.patch_bytes))
        return MemoryEstimate((*self.however_small().stages, patches))

    def however_small(self) -> MemoryEstimate:
        """What it takes beside the network."""
        memory = self._memory
        image = memory.image_bytes
        return MemoryEstimate(
            (
                StageMemory("preparing", image + memory.preparing_bytes),
                StageMemory("sums", image + memory.grid_bytes + memory.running_bytes + memory.slab_bytes),
                StageMemory("finishing", image + memory.grid_bytes + memory.running_bytes + memory.finishing_bytes),
                StageMemory("writing", WRITING_BYTES * image // FLOAT),
            )
        )
