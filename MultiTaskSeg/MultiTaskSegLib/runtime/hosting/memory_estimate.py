"""How much memory a run will take, worked out before it starts.

The figures follow from the architecture and from what `NetworkStream`, `LabelStream` and their neighbours hold at the
same time. Tests compare them with a trace of the network's own code, with what preparing and labelling really allocate,
and with the measured peak of whole runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import torch

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.labels.label_stream import CHUNK_VALUES
from MultiTaskSegLib.runtime.labels.surface_band import BAND_VOXELS
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.network_stream import BLOCK_SLICES, slab_voxels_for
from MultiTaskSegLib.runtime.ood.spectrum import BLOCK_ROWS
from MultiTaskSegLib.runtime.prediction.network_pass import IN_TILES, KEPT_BYTES, SMALLEST_TILE_VOXELS

FLOAT16_BYTES, FLOAT32_BYTES, FLOAT64_BYTES, INT64_BYTES = 2, 4, 8, 8
# Bytes per voxel of the image's own grid: label, confidence, uncertainty and the background's probability; at the end
# the first three again in the stored order, and connected pieces, or counts and weights as 64-bit numbers.
LABEL_BYTES = 1 + 4 + 4 + 4
FINISHING_BYTES = LABEL_BYTES + 9 + 24
# Arrays of all classes that are alive at a time while one slab or chunk is labelled: logits, over the temperature,
# softmax, softened, interpolated, and a temporary one.
CLASS_ARRAYS = 6
# Maps of a stage that are alive at a time, in units of its output: a window with twice the channels in a decoder, the
# first convolution, the shortcut, the coarser map; copies of input and output. The second convolution comes when the
# window is gone.
DECODER_MAPS = 2 + 1 + 1 + 1 + 3
ENCODER_MAPS = 1 + 1 + 1 + 2
# Memory is taken in blocks of different sizes, and what lies between them cannot all be used again.
HEAP_FACTOR = 1.25


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run takes at most, beyond the loaded model.

    Attributes:
        preparing_bytes: main memory while the image is brought onto the network's grid.
        running_bytes: main memory beside the network while it runs.
        network_bytes: memory of the device that runs the network.
        finishing_bytes: main memory while the labels are finished.
    """

    preparing_bytes: int
    running_bytes: int
    network_bytes: int
    finishing_bytes: int

    def host_bytes(self, is_on_host: bool) -> int:
        """Peak of the main memory, for a network that runs there, too, or on a card."""
        running = self.running_bytes + (self.network_bytes if is_on_host else 0)
        return int(HEAP_FACTOR * max(self.preparing_bytes, running, self.finishing_bytes))

    def card_bytes(self) -> int:
        """Peak of a card's memory."""
        return int(HEAP_FACTOR * self.network_bytes)


def estimate_memory(
    architecture: Architecture,
    frames: Sequence[InputFrame],
    tasks: Sequence[TaskInfo],
    volume: Volume,
    slab_voxels: int,
    encoder_stages: int | None = None,
) -> MemoryEstimate:
    """What a run on ``volume`` takes.

    Args:
        architecture: of the network.
        frames: of the volume on the grid of each profile that is tried.
        tasks: that may be labelled; none for a check.
        volume: the image.
        slab_voxels: about how many voxels the network takes at a time; `IN_TILES` for the smallest tiles.
        encoder_stages: how many stages of the encoder a check looks at; None when the whole network runs.
    """
    grids = [frame.grid_shape for frame in frames]
    voxels, largest = volume.voxels.size, max(prod(grid) for grid in grids)
    image = FLOAT32_BYTES * voxels
    classes = max((1 + len(task.labels) for task in tasks), default=0)
    # With several profiles, the best one so far is kept while another is tried.
    attempts = min(len(grids), 2)
    keep_bytes = KEPT_BYTES if len(tasks) > 1 else 0
    kept = max(sum(kept_maps(architecture, grid, keep_bytes).values()) for grid in grids)
    if slab_voxels == IN_TILES:
        parts, keep_bytes = [_cube(SMALLEST_TILE_VOXELS)] * len(grids), 0
        kept += FLOAT16_BYTES * classes * largest
    else:
        parts = grids
    network = max(
        network_bytes(architecture, part, slab_voxels, encoder_stages, keep_bytes)
        + _class_bytes(classes, part, frame, slab_voxels)
        for part, frame in zip(parts, frames, strict=True)
    )
    prepared = image + attempts * FLOAT32_BYTES * largest
    return MemoryEstimate(
        # Resampling along one axis: what goes in, the same in the order of the axis, what comes out, and a copy.
        preparing_bytes=image + (attempts - 1) * kept + 4 * FLOAT32_BYTES * max(voxels, largest),
        running_bytes=prepared + (LABEL_BYTES * voxels if tasks else 0),
        network_bytes=network + attempts * kept,
        finishing_bytes=prepared + (FINISHING_BYTES * voxels if tasks else 0),
    )


def network_bytes(
    architecture: Architecture,
    grid: Triple,
    slab_voxels: int,
    encoder_stages: int | None = None,
    keep_bytes: int = 0,
) -> int:
    """Peak of the feature maps while a grid ``(z, y, x)`` passes through `NetworkStream` slab by slab.

    Convolutions count with a copy of their input and output, because libraries may want another order of the axes.

    Args:
        architecture, slab_voxels, encoder_stages: as in `estimate_memory`.
        grid: of the prepared image.
        keep_bytes: for encoder maps that are kept beside; they need not wait for their decoder.
    """
    kept = kept_maps(architecture, grid, keep_bytes)
    depth, rows, columns = (n + -n % s for n, s in zip(grid, architecture.total_stride, strict=True))
    step = architecture.total_stride[0]
    slices = min(depth, max(1, slab_voxels // (rows * columns * step)) * step)
    # A slice waits for its decoder as long as the network looks ahead, and for slabs to fill up.
    waiting = 0 if encoder_stages is not None else min(depth, architecture.halo[0] + 2 * slices)
    levels = len(architecture.channels) if encoder_stages is None else encoder_stages
    held, working = FLOAT32_BYTES * slices * rows * columns, [0.0]
    for level, (z, y, x) in enumerate(architecture.level_strides[:levels]):
        one_slice = FLOAT32_BYTES * architecture.channels[level] * (rows // y) * (columns // x)
        here, radius = ceil(slices / z), architecture.kernels[level][0] // 2
        is_coarsest = level == len(architecture.channels) - 1
        block = max(1, min(BLOCK_SLICES, ceil(waiting / z)))
        queued = 0 if is_coarsest or level in kept else block * ceil(waiting / z / block)
        # Context of the encoder's and the decoder's convolutions, slabs under way, and slices that wait.
        context = (4 if is_coarsest or encoder_stages is not None else 10) * radius
        under_way = here * (2 if level > 0 and not is_coarsest and encoder_stages is None else 1)
        held += one_slice * (context + under_way) + one_slice * FLOAT16_BYTES // FLOAT32_BYTES * queued
        working.append(one_slice * ENCODER_MAPS * min(here + 3 * radius, ceil(depth / z) + 2 * radius))
        if not is_coarsest and encoder_stages is None:
            step = architecture.strides[level][0]
            here = step * max(1, slices // (2 * z * step))
            working.append(one_slice * DECODER_MAPS * min(here + 3 * radius, ceil(depth / z) + 2 * radius))
        rows_in_double = min(BLOCK_ROWS, here * (rows // y) * (columns // x))
        working.append(2 * FLOAT64_BYTES * architecture.channels[level] * rows_in_double)
    return int(held + max(working))


def kept_maps(architecture: Architecture, grid: Triple, keep_bytes: int) -> dict[int, int]:
    """Bytes of the encoder maps that `NetworkStream.encode` keeps for the decoder, by level."""
    padded = [n + -n % s for n, s in zip(grid, architecture.total_stride, strict=True)]
    kept: dict[int, int] = {}
    for level, stride in reversed(list(enumerate(architecture.level_strides))):
        # All but the coarsest ones wait in half precision.
        size = (FLOAT16_BYTES if kept else FLOAT32_BYTES) * architecture.channels[level] * prod(padded) // prod(stride)
        keep_bytes -= size
        if keep_bytes < 0:
            break
        kept[level] = size
    return kept


def default_slab_voxels(is_on_host: bool) -> int:
    """What the network takes at a time when memory is not short."""
    return slab_voxels_for(torch.device("cpu" if is_on_host else "cuda"))


def _cube(voxels: int) -> Triple:
    side = ceil(voxels ** (1 / 3))
    return side, side, side


def _class_bytes(classes: int, grid: Triple, frame: InputFrame, slab_voxels: int) -> int:
    """Probabilities of one slab on their way to labels, and the chunk of the image's own grid that they become."""
    depth, rows, columns = grid
    slices = min(depth, max(1, slab_voxels // (rows * columns)) + 2 * BAND_VOXELS)
    finer = max(1.0, frame.window.shape[0] / depth)
    slab = classes * FLOAT32_BYTES * slices * rows * columns * (CLASS_ARRAYS - 1 + finer)
    index = 3 * INT64_BYTES * slices * rows * columns if classes else 0
    chunk = CLASS_ARRAYS * FLOAT32_BYTES * min(CHUNK_VALUES, classes * prod(frame.window.shape))
    return int(slab + index + chunk)
