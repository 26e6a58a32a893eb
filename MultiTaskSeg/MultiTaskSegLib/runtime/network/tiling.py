"""Run a network over a volume of any size in tiles whose result does not depend on the tiling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork, Triple

# About 0.7 kB of feature maps are alive per voxel with 16 channels at the finest level: 4 million voxels take 3 GB.
MAX_TILE_VOXELS = 4_000_000


@dataclass(frozen=True)
class Tile:
    """A core region and the input region that determines it, as ``(start, stop)`` per axis ``(z, y, x)``.

    Corners are multiples of the network's total stride, so that pooling cells never straddle two tiles.
    """

    core: tuple[tuple[int, int], ...]
    source: tuple[tuple[int, int], ...]

    def source_slices(self) -> tuple[slice, ...]:
        """Index of the input region in the padded volume."""
        return tuple(slice(a, b) for a, b in self.source)

    def core_in_volume(self, stride: Triple, sizes: Triple) -> tuple[slice, ...]:
        """Index of the core in a map of ``stride`` that is trimmed to the true image of ``sizes`` voxels."""
        return tuple(
            slice(a // s, min(b // s, ceil(n / s))) for (a, b), s, n in zip(self.core, stride, sizes, strict=True)
        )

    def core_in_tile(self, stride: Triple, sizes: Triple) -> tuple[slice, ...]:
        """Index of the same voxels in the tile's own map of ``stride``."""
        volume = self.core_in_volume(stride, sizes)
        return tuple(
            slice(v.start - first // s, v.stop - first // s)
            for v, (first, _), s in zip(volume, self.source, stride, strict=True)
        )


def whole_image(sizes: Triple) -> Tile:
    """One tile without a halo."""
    everything = tuple((0, n) for n in sizes)
    return Tile(everything, everything)


def make_tiles(sizes: Triple, stride: Triple, halo: Triple, max_voxels: int = MAX_TILE_VOXELS) -> list[Tile]:
    """Cover a padded volume of ``sizes`` ``(z, y, x)`` by tiles of at most ``max_voxels`` input voxels, if possible.

    The longest core side is cut again and again until the input fits; cores are disjoint and cover everything.
    """
    cells = tuple(n // s for n, s in zip(sizes, stride, strict=True))
    cuts = [1, 1, 1]
    while True:
        core = [ceil(c / n) * s for c, n, s in zip(cells, cuts, stride, strict=True)]
        source = [min(c + 2 * h, n) for c, h, n in zip(core, halo, sizes, strict=True)]
        divisible = [axis for axis in range(3) if cuts[axis] < cells[axis]]
        if prod(source) <= max_voxels or not divisible:
            break
        cuts[max(divisible, key=lambda axis: core[axis] / (halo[axis] + 1))] += 1
    return list(_tiles(sizes, core, halo))


def _tiles(sizes: Triple, core: list[int], halo: Triple) -> Iterator[Tile]:
    starts = [range(0, n, c) for n, c in zip(sizes, core, strict=True)]
    for corner in product(*starts):
        inner = tuple((a, min(a + c, n)) for a, c, n in zip(corner, core, sizes, strict=True))
        outer = tuple((max(a - h, 0), min(b + h, n)) for (a, b), h, n in zip(inner, halo, sizes, strict=True))
        yield Tile(inner, outer)


def pad_to_stride(voxels: NDArray[np.float32], stride: Triple) -> NDArray[np.float32]:
    """Zero-pad ``(Z, Y, X)`` at the far ends to multiples of ``stride``."""
    return np.pad(voxels, [(0, -n % s) for n, s in zip(voxels.shape, stride, strict=True)])


@torch.inference_mode()
def run_tiles(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    consume: Callable[[Tile, dict[str, Tensor], Tensor], None],
    *,
    device: torch.device,
    max_tile_voxels: int = MAX_TILE_VOXELS,
    precision: torch.dtype = torch.float32,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Feed prepared voxels ``(Z, Y, X)`` through the network; hand every tile's maps and logits to ``consume``.

    Zero padding of the convolutions happens only at the true border of the padded volume, in one pass and in
    tiles alike, so results agree to rounding.
    """
    for tile, block in _blocks(network, voxels, device, max_tile_voxels, progress):
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            maps = network.features(block)
            logits = network.head(maps["decoder0"])
        consume(tile, maps, logits)


def _blocks(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    device: torch.device,
    max_tile_voxels: int,
    progress: Callable[[float], None] | None,
) -> Iterator[tuple[Tile, Tensor]]:
    """Every tile with its input; progress is told when the next one is asked for."""
    architecture = network.architecture
    padded = pad_to_stride(voxels, architecture.total_stride)
    z, y, x = padded.shape
    tiles = make_tiles((z, y, x), architecture.total_stride, architecture.halo, max_tile_voxels)
    for done, tile in enumerate(tiles, start=1):
        block = torch.from_numpy(np.ascontiguousarray(padded[tile.source_slices()]))[None, None].to(device)
        yield tile, block.contiguous(memory_format=torch.channels_last_3d)
        if progress is not None:
            progress(done / len(tiles))
