"""Cut a volume into tiles with halos, so that a network's result does not depend on the tiling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.network.architecture import Triple


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


def make_tiles(sizes: Triple, stride: Triple, halo: Triple, max_voxels: int) -> list[Tile]:
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
