"""The whole network fed slab by slab: the result of one pass over an image of any size, at its cost, in little memory.

The levels are nested generators. A level's encoder hands its maps to the next coarser level and keeps them until the
decoder asks for the same slices; all that is ever in memory are the slices in between, whose number does not grow
with the image. No voxel is computed twice, and zeros are padded at the true border only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.backend import Backend, stem_stage
from MultiTaskSegLib.runtime.network.stage_stream import SliceQueue, StageStream

# Maps of this many voxels at the finest level stay in the processor's cache between operations (measured).
SLAB_VOXELS = 200_000
# Slices of waiting maps that share a block of memory.
BLOCK_SLICES = 16
# A graphics card needs more at a time to be busy.
CARD_SLAB_VOXELS = 4_000_000
FLOAT_BYTES, HALF_BYTES = 4, 2

Slab = tuple[Tensor, bool]
Observe = Callable[[str, Tensor], None]
Kept = dict[int, SliceQueue]


class NetworkStream:
    """One image's way through the network.

    Args:
        backend: computes.
        architecture: of the network.
        voxels: prepared image ``(Z, Y, X)``, or of several channels ``(C, Z, Y, X)``.
        slab_voxels: about how many voxels of the image to work on at a time.
        progress: told the share of the image that has been fed in.
        stem: which of the network's stems takes the image.

    Attributes:
        padded: ``(z, y, x)`` with the zeros that the strides ask for.
    """

    def __init__(
        self,
        backend: Backend,
        architecture: Architecture,
        voxels: NDArray[np.float32],
        slab_voxels: int = SLAB_VOXELS,
        progress: Callable[[float], None] | None = None,
        stem: int = 0,
    ) -> None:
        self._backend, self._architecture = backend, architecture
        self._voxels = voxels if voxels.ndim == 4 else voxels[None]
        self._progress, self._stem = progress, stem
        self.padded = padded_shape(architecture, _shape(voxels))
        _, y, x = self.padded
        step = architecture.total_stride[0]
        self._slices = max(1, slab_voxels // (y * x * step)) * step

    def encode(self, stages: int, observe: Observe, keep_bytes: int = 0) -> Kept:
        """Run the first encoder stages.

        Args:
            stages: how many; all of them are needed to keep any.
            observe: is handed every map ``(1, C, z, Y, X)`` with its name, slab by slab.
            keep_bytes: memory for maps that `decode` need not compute again, coarse levels first.

        Returns:
            What was kept, by level.
        """
        kept = {level: self._queue(level) for level in kept_levels(self._architecture, self.padded, keep_bytes)}
        slabs = self._image()
        for level in range(max(stages, len(self._architecture.channels)) if kept else stages):
            if level > 0:
                slabs = self._down(level - 1, slabs)
            slabs = self._encoded(level, slabs, observe if level < stages else _ignore, kept.get(level))
        for _ in slabs:
            pass
        for queue in kept.values():
            queue.close()
        return kept

    def decode(self, kept: Kept | None = None, observe: Observe | None = None) -> Iterator[Tensor]:
        """Run the network and yield the slabs ``(1, C, z, Y, X)`` of its last map.

        Args:
            kept: from `encode`; used up.
            observe: see `encode`; kept maps have been seen before.
        """
        return map(itemgetter(0), self._level(0, self._image(), kept or {}, observe or _ignore))

    def _queue(self, level: int) -> SliceQueue:
        """For a level's encoder maps; the coarsest ones are few and go on as they are."""
        block = block_slices(self._architecture, self.padded[0], self._slices, level)
        return SliceQueue(level < len(self._architecture.channels) - 1, block)

    def _image(self) -> Iterator[Slab]:
        depth, rows, columns = self.padded
        channels, _, y, x = self._voxels.shape
        for start in range(0, depth, self._slices):
            stop = min(start + self._slices, depth)
            slab = np.zeros((1, channels, stop - start, rows, columns), dtype=np.float32)
            part = self._voxels[:, start:stop]
            slab[0, :, : part.shape[1], :y, :x] = part
            yield torch.from_numpy(slab).to(self._backend.device), stop == depth
            if self._progress is not None:
                self._progress(stop / depth)

    def _stage(self, name: str) -> StageStream:
        stage = stem_stage(self._stem) if name == "encoder0" else name
        return StageStream(self._backend, stage, self._architecture.kernels[int(name[-1])][0] // 2)

    def _encoded(
        self, level: int, slabs: Iterator[Slab], observe: Observe, queue: SliceQueue | None = None
    ) -> Iterator[Slab]:
        """Maps of a level's encoder, which also go into a queue."""
        name = f"encoder{level}"
        stage = self._stage(name)
        for slab, last in slabs:
            made = _made(stage.push(slab.shape[1], _sizes(slab), _copy(slab), last))
            del slab
            for result in made:
                observe(name, result)
                if queue is not None:
                    queue.push(result)
                del result
            while made:
                yield made.pop(), last

    def _down(self, level: int, slabs: Iterator[Slab]) -> Iterator[Slab]:
        stride = self._architecture.strides[level][0]
        rest: Tensor | None = None
        for slab, last in slabs:
            joined = slab if rest is None or rest.shape[2] == 0 else torch.cat((rest, slab), dim=2)
            whole = joined.shape[2] // stride * stride
            rest = joined[:, :, whole:].clone()
            made = _made(self._backend.down(level, joined[:, :, :whole]) if whole else None)
            del slab, joined
            while made:
                yield made.pop(), last

    def _level(
        self, level: int, slabs: Iterator[Slab], kept: Mapping[int, SliceQueue], observe: Observe
    ) -> Iterator[Slab]:
        """Maps of a level's decoder, or of the encoder on the coarsest level."""
        architecture = self._architecture
        if level == len(architecture.channels) - 1:
            thickness = max(1, self._slices // architecture.total_stride[0])
            is_kept = level in kept
            yield from _kept_slabs(kept[level], thickness) if is_kept else self._encoded(level, slabs, observe)
            return
        waiting = kept[level] if level in kept else self._queue(level)
        encoded = self._encoded(level, slabs, observe, waiting)
        name, stride = f"decoder{level}", architecture.strides[level]
        stage, channels = self._stage(name), architecture.channels[level]
        # A decoder's windows have twice the channels, so half as many slices take as much memory.
        thickness = max(1, self._slices // (2 * architecture.level_strides[level + 1][0]))
        for coarse, last in _thin(self._level(level + 1, self._down(level, encoded), kept, observe), thickness):
            z, y, x = (n * s for n, s in zip(_sizes(coarse), stride, strict=True))
            while waiting.slices < z:
                next(encoded)  # where the coarser level was kept, nobody else asks for these
            write = [_join(self._backend.up(level, coarse), waiting, stride)]
            del coarse
            made = _made(stage.push(2 * channels, (z, y, x), write.pop(), last))
            for result in made:
                observe(name, result)
                del result
            while made:
                yield made.pop(), last


def padded_shape(architecture: Architecture, grid: Triple) -> Triple:
    """``(z, y, x)`` of an image with the zeros that the strides ask for."""
    z, y, x = (n + -n % stride for n, stride in zip(grid, architecture.total_stride, strict=True))
    return z, y, x


def block_slices(architecture: Architecture, depth: int, slices: int, level: int) -> int:
    """Slices of a level's map that share a block of memory, for slabs of ``slices`` of the image."""
    waiting = min(depth, architecture.halo[0] + 2 * slices)
    return min(BLOCK_SLICES, -(-waiting // architecture.level_strides[level][0]))


def kept_levels(architecture: Architecture, padded: Triple, keep_bytes: int) -> dict[int, int]:
    """The coarsest levels whose encoder maps fit into ``keep_bytes`` together, and the bytes of each.

    All but those of the coarsest level wait in half precision.
    """
    levels: dict[int, int] = {}
    for level, stride in reversed(list(enumerate(architecture.level_strides))):
        bytes_each = HALF_BYTES if levels else FLOAT_BYTES
        size = prod(padded) // prod(stride) * architecture.channels[level] * bytes_each
        keep_bytes -= size
        if keep_bytes < 0:
            break
        levels[level] = size
    return levels


def slab_voxels_for(device: torch.device) -> int:
    """How many voxels to work on at a time."""
    return SLAB_VOXELS if device.type == "cpu" else CARD_SLAB_VOXELS


def _ignore(name: str, slab: Tensor) -> None:
    """Nobody wants to see it."""


def _shape(voxels: NDArray[np.float32]) -> Triple:
    z, y, x = voxels.shape[-3:]
    return z, y, x


def _sizes(slab: Tensor) -> Triple:
    z, y, x = slab.shape[2:]
    return z, y, x


def _made(result: Tensor | None) -> list[Tensor]:
    """To be popped when it is handed on: whoever waits for the next turn should not hold it meanwhile."""
    return [] if result is None else [result]


def _thin(slabs: Iterator[Slab], slices: int) -> Iterator[Slab]:
    """Cut thick slabs: at the far end all slices that lag behind would come at once."""
    for slab, last in slabs:
        pieces = list(reversed(slab.split(slices, dim=2)))
        del slab
        while pieces:
            yield pieces.pop(), last and not pieces


def _kept_slabs(queue: SliceQueue, slices: int) -> Iterator[Slab]:
    while queue.slices:
        slab = torch.cat([queue.pop() for _ in range(min(slices, queue.slices))], dim=2)
        yield slab, queue.slices == 0


def _copy(slab: Tensor) -> Callable[[Tensor], None]:
    def write(target: Tensor) -> None:
        """Copy the slab."""
        target.copy_(slab)

    return write


def _join(raised: Tensor, waiting: SliceQueue, stride: Triple) -> Callable[[Tensor], None]:
    def write(target: Tensor) -> None:
        """Coarse channels, every voxel repeated over its cell, before the encoder's channels."""
        channels = raised.shape[1]
        cells = target[:, :channels]
        for axis in (4, 3, 2):
            cells = cells.unflatten(axis, (-1, stride[axis - 2]))
        cells.copy_(raised[:, :, :, None, :, None, :, None])
        waiting.move(target[:, channels:])

    return write
