"""Cut a volume into tiles with halos, so that a network's result does not depend on the tiling."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.network.architecture import Triple
from MultiTaskSegLib.runtime.network.tiling import Tile


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
