"""In how large parts the network takes an image: a ladder from the fastest way to the one that needs least memory.

Whole planes, slab by slab along z, cost the work of one pass. Thinner slabs need less memory and hardly more time, down
to slabs of one step of the network. Below that, a plane is cut into strips of rows: every strip takes the rows around
it along, on which its result depends, so that all of them together give the same result at a multiple of the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.network_stream import kept_levels, padded_shape
from MultiTaskSegLib.runtime.network.tiling import Tile

# A step of the ladder that spares less than this share of the rows is not worth its time.
LEAST_SPARED = 0.15


@dataclass(frozen=True)
class Parts:
    """How much of an image is worked on at a time.

    Attributes:
        slices: of the image in a slab.
        rows: of a strip, without those around it; None for whole planes.
        keep_bytes: for encoder maps that wait between the check and the segmentation.
    """

    slices: int
    rows: int | None = None
    keep_bytes: int = 0


def part_ladder(
    architecture: Architecture, grid: Triple, context_rows: int, slab_voxels: int, keep_bytes: int = 0
) -> tuple[Parts, ...]:
    """All ways to take an image, each with less memory than the one before, and each another one.

    Args:
        architecture: of the network.
        grid: ``(z, y, x)`` of the prepared image.
        context_rows: around a strip, on which its result depends; a multiple of the network's stride.
        slab_voxels: about how many voxels to take at a time when memory is not short.
        keep_bytes: see `Parts`, when memory is not short.
    """
    depth, rows, columns = padded_shape(architecture, grid)
    step, stride = architecture.total_stride[:2]
    steps = min(max(1, slab_voxels // (rows * columns * step)), depth // step)
    kept = kept_levels(architecture, (depth, rows, columns), keep_bytes)
    keep_bytes = keep_bytes if kept else 0
    ladder = [Parts(step * steps, None, keep_bytes)]
    while steps > 1:
        steps = max(1, steps // 4)
        ladder.append(Parts(step * steps, None, keep_bytes))
    # Maps of the finest level, where they are not kept, have to wait for their decoder all the same.
    if 0 in kept:
        ladder.append(Parts(step))
    taken = rows
    for core in dict.fromkeys(ceil(rows // stride / count) * stride for count in range(2, rows // stride + 1)):
        largest = largest_strip((depth, rows, columns), core, context_rows)[1]
        if largest <= (1 - LEAST_SPARED) * taken:
            taken = largest
            ladder.append(Parts(step, core))
    return tuple(ladder)


def largest_strip(padded: Triple, rows: int | None, context_rows: int) -> Triple:
    """``(z, y, x)`` of the largest source of `strips`."""
    depth, _, columns = padded
    sources = (strip.source[1] for strip in strips(padded, rows, context_rows))
    return depth, max(stop - start for start, stop in sources), columns


def strips(padded: Triple, rows: int | None, context_rows: int) -> list[Tile]:
    """Strips of rows that cover padded planes once, each with what it depends on as its source.

    Args:
        padded: ``(z, y, x)``; what the strides ask for is part of it.
        rows: of a strip; None for the whole plane.
        context_rows: around a strip; a multiple of the network's stride, as ``rows``.
    """
    depth, height, columns = padded
    rows = rows or height
    starts = range(0, height, rows)
    cores = [(start, min(start + rows, height)) for start in starts]
    sources = [(max(0, start - context_rows), min(height, stop + context_rows)) for start, stop in cores]
    return [
        Tile(((0, depth), core, (0, columns)), ((0, depth), source, (0, columns)))
        for core, source in zip(cores, sources, strict=True)
    ]
