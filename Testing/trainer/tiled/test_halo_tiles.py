"""Tiles cover the image once, and each carries all that its result depends on."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest

from MultiTaskSegLib.runtime.network.architecture import Triple
from trainer.tiled.halo_tiles import make_tiles, pad_to_stride

GRIDS: list[tuple[Triple, Triple, Triple, int]] = [
    ((16, 24, 32), (2, 4, 4), (4, 8, 8), 6_000),
    ((1, 64, 96), (1, 8, 8), (0, 16, 16), 2_500),
    ((10, 10, 10), (1, 1, 1), (3, 3, 3), 400),
    ((6, 12, 18), (2, 3, 6), (2, 3, 6), 10**6),
    ((40, 4, 4), (4, 4, 4), (8, 8, 8), 400),
]


@pytest.mark.parametrize("sizes, stride, halo, limit", GRIDS)
def test_cores_cover_every_voxel_exactly_once(sizes: Triple, stride: Triple, halo: Triple, limit: int) -> None:
    times = np.zeros(sizes, dtype=int)
    for tile in make_tiles(sizes, stride, halo, limit):
        times[tuple(slice(a, b) for a, b in tile.core)] += 1
    assert (times == 1).all()


@pytest.mark.parametrize("sizes, stride, halo, limit", GRIDS)
def test_tiles_lie_on_pooling_cells_within_the_limit_and_carry_the_whole_halo(
    sizes: Triple, stride: Triple, halo: Triple, limit: int
) -> None:
    tiles = make_tiles(sizes, stride, halo, limit)
    assert len(tiles) > 1 or prod(sizes) <= limit
    for tile in tiles:
        assert prod(b - a for a, b in tile.source) <= limit
        for (a, b), (first, last), n, s, h in zip(tile.core, tile.source, sizes, stride, halo, strict=True):
            assert all(v % s == 0 for v in (a, b, first, last))
            assert first == max(0, a - h)
            assert last == min(n, b + h)


def test_a_limit_below_the_smallest_tile_gives_the_smallest_tiles_instead_of_none() -> None:
    tiles = make_tiles((4, 8, 8), (2, 4, 4), (2, 4, 4), 1)
    assert len(tiles) == 2 * 2 * 2


def test_padding_goes_to_the_far_ends_and_is_zero() -> None:
    voxels = np.ones((3, 5, 8), dtype=np.float32)
    padded = pad_to_stride(voxels, (2, 4, 4))
    assert padded.shape == (4, 8, 8)
    np.testing.assert_array_equal(padded[:3, :5, :8], voxels)
    assert padded.sum() == voxels.sum()


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 4, 4)])
def test_cores_of_coarse_maps_cover_the_true_image_exactly_once(stride: Triple) -> None:
    sizes, padded = (7, 9, 13), (8, 12, 16)
    shape = tuple(ceil(n / s) for n, s in zip(sizes, stride, strict=True))
    times = np.zeros(shape, dtype=int)
    for tile in make_tiles(padded, (2, 4, 4), (2, 4, 4), 500):
        target, inside = tile.core_in_volume(stride, sizes), tile.core_in_tile(stride, sizes)
        assert [s.stop - s.start for s in target] == [s.stop - s.start for s in inside]
        assert all(s.start >= 0 for s in inside)
        times[target] += 1
    assert (times == 1).all()
