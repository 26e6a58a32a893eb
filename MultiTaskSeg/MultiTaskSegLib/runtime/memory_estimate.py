"""How much memory a run will take, worked out before it starts.

The figures follow from the architecture and from the arrays that preparing and labelling hold at the same time. Tests
compare them with a trace of the network's own code, with what preparing and labelling really allocate, and with the
measured peak of whole runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from MultiTaskSegLib.runtime.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.manifest import TaskInfo
from MultiTaskSegLib.runtime.network import Architecture, Triple
from MultiTaskSegLib.runtime.profile import Profile
from MultiTaskSegLib.runtime.spectrum import BLOCK_ROWS
from MultiTaskSegLib.runtime.tiling import make_tiles
from MultiTaskSegLib.runtime.volume import Volume

FLOAT32_BYTES, FLOAT16_BYTES, FLOAT64_BYTES = 4, 2, 8
# Bytes per voxel of the image's own grid while it is labelled: best, entropy, background, share and up to three
# temporary arrays as float32, the index, and the connected pieces with their weights.
LABELLING_BYTES = 48
# Bytes per voxel of the network's grid while distances from the surface are taken (scipy): nearest places as int32,
# their offsets, and float64 distances along three axes.
SURFACE_BYTES = 80
# Share of the network's grid near a surface, and its arrays per label: float32 before and after the power, float16.
SURFACE_SHARE = 0.75
SURFACE_LABEL_BYTES = 3 * FLOAT32_BYTES
# Memory is taken in blocks of different sizes, and what lies between them cannot all be used again: with
# `keep_freed_memory`, real peaks were up to 1.55 times the sum of what was alive.
HEAP_FACTOR = 1.6


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run takes at most, beyond the loaded model.

    Attributes:
        preparing_bytes: main memory while the image is brought onto the network's grid.
        running_bytes: main memory beside the network while it runs.
        network_bytes: memory for the largest tile, on the device that runs the network.
        labelling_bytes: main memory while the labels are brought onto the image's grid.
    """

    preparing_bytes: int
    running_bytes: int
    network_bytes: int
    labelling_bytes: int

    def host_bytes(self, is_on_host: bool) -> int:
        """Peak of the main memory, for a network that runs there, too, or on a card."""
        running = self.running_bytes + (self.network_bytes if is_on_host else 0)
        return int(HEAP_FACTOR * max(self.preparing_bytes, running, self.labelling_bytes))

    def card_bytes(self) -> int:
        """Peak of a card's memory."""
        return int(HEAP_FACTOR * self.network_bytes)


def estimate_memory(
    architecture: Architecture,
    groups: Sequence[tuple[Profile, Sequence[TaskInfo]]],
    volume: Volume,
    max_tile_voxels: int,
    encoder_stages: int | None = None,
) -> MemoryEstimate:
    """What a run on ``volume`` takes.

    Args:
        architecture: of the network.
        groups: the profiles that are tried, each with the tasks whose probabilities are kept.
        volume: the image.
        max_tile_voxels: the largest tile.
        encoder_stages: how many stages of the encoder a check looks at; None when the whole network runs.
    """
    grids = [_grid(volume, profile) for profile, _ in groups]
    # One profile after the other is tried, and what the earlier ones found is kept until the best is known.
    kept = [_kept_bytes(prod(grid), tasks) for grid, (_, tasks) in zip(grids, groups, strict=True)]
    voxels, largest = volume.voxels.size, max(prod(grid) for grid in grids)
    labelling = max(
        own + _labelling_bytes(voxels, prod(grid), tasks)
        for grid, (_, tasks), own in zip(grids, groups, kept, strict=True)
    )
    image = FLOAT32_BYTES * voxels
    channels = max((1 + len(task.labels) for _, tasks in groups for task in tasks), default=0)
    return MemoryEstimate(
        preparing_bytes=image + sum(kept[:-1]) + _preparing_bytes(voxels, largest),
        running_bytes=image + sum(kept) + FLOAT32_BYTES * largest,
        network_bytes=max(_tile_bytes(architecture, g, max_tile_voxels, channels, encoder_stages) for g in grids),
        labelling_bytes=image + labelling,
    )


def network_bytes(
    architecture: Architecture, voxels: int, task_channels: int, encoder_stages: int | None = None
) -> int:
    """Peak of the feature maps for one tile of ``voxels``, of which each stage's result is kept to the end.

    Convolutions count with a copy of their input and output, because libraries may want another order of the axes.

    Args:
        architecture: of the network.
        voxels: of the tile with its halo.
        task_channels: of the task with most labels, whose softmax is taken.
        encoder_stages: as in `estimate_memory`.
    """
    image = FLOAT32_BYTES * voxels
    cells = [voxels / prod(stride) for stride in architecture.level_strides]
    maps = [FLOAT32_BYTES * c * n for c, n in zip(architecture.channels, cells, strict=True)]
    levels = len(maps) if encoder_stages is None else encoder_stages
    # A stage of the encoder: its input (after the first), a convolution and its input or the shortcut; the copies.
    peaks = [image + sum(maps[:level]) + (2 + 2 + min(level, 1)) * maps[level] for level in range(levels)]
    if encoder_stages is None:
        kept = image + sum(maps)
        for level in reversed(range(levels - 1)):
            coarse = FLOAT32_BYTES * architecture.channels[level] * cells[level + 1]
            # The finer grid, joined with the skip connection (twice), convolution and shortcut; the copies.
            peaks.append(kept + coarse + (1 + 2 + 2 + 3) * maps[level])
            kept += maps[level]
        # Logits and the copies; logits of all tasks, of one task over the temperature, and their softmax.
        peaks.append(kept + maps[0] + 2 * architecture.outputs * image)
        peaks.append(kept + (architecture.outputs + 2 * task_channels) * image)
    return int(max(peaks))


def _tile_bytes(
    architecture: Architecture, grid: Triple, max_tile_voxels: int, task_channels: int, encoder_stages: int | None
) -> int:
    """The network's peak for its largest tile, and the rows of one feature map on their way into the spectrum."""
    stride = architecture.total_stride
    z, y, x = (n + -n % s for n, s in zip(grid, stride, strict=True))
    tiles = make_tiles((z, y, x), stride, architecture.halo, max_tile_voxels)
    largest = max(prod(stop - start for start, stop in tile.source) for tile in tiles)
    rows = (min(BLOCK_ROWS, largest / prod(s)) for s in architecture.level_strides)
    spectrum = max(FLOAT64_BYTES * c * n for c, n in zip(architecture.channels, rows, strict=True))
    return network_bytes(architecture, largest, task_channels, encoder_stages) + int(spectrum)


def _grid(volume: Volume, profile: Profile) -> Triple:
    return profile.grid_shape(volume, canonical_reorientation(volume))


def _kept_bytes(grid_voxels: int, tasks: Sequence[TaskInfo]) -> int:
    """The prepared image and the probabilities of all tasks that may be wanted."""
    channels = sum(1 + len(task.labels) for task in tasks)
    return grid_voxels * (FLOAT32_BYTES + FLOAT16_BYTES * channels)


def _preparing_bytes(voxels: int, grid_voxels: int) -> int:
    """Resampling along one axis: what goes in, the same in the order of the axis, what comes out, and a copy."""
    return 4 * FLOAT32_BYTES * max(voxels, grid_voxels)


def _labelling_bytes(voxels: int, grid_voxels: int, tasks: Sequence[TaskInfo]) -> int:
    """The softening near the surface on the network's grid, then the labels on the image's own grid."""
    if not tasks:
        return 0
    labels = max(1 + len(task.labels) for task in tasks)
    is_softened = any(task.surface_temperature is not None for task in tasks)
    softened = FLOAT16_BYTES * labels * grid_voxels if is_softened else 0
    near = int(SURFACE_SHARE * grid_voxels) * SURFACE_LABEL_BYTES * labels
    surface = max(SURFACE_BYTES * grid_voxels, softened + near) if is_softened else 0
    resampling = 2 * FLOAT32_BYTES * max(voxels, grid_voxels)
    return max(surface, softened + LABELLING_BYTES * voxels + resampling)
