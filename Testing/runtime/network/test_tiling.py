"""Tiles cover the image once, and the result does not tell how it was tiled."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.tiling import Tile, make_tiles, pad_to_stride, run_tiles
from Testing.runtime.random_network import ARCHITECTURES, PLANAR, THICK_SLICES, random_network

CPU = torch.device("cpu")
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


def logits_of(network: SegmentationNetwork, voxels: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """Logits ``(C, Z, Y, X)`` assembled from tiles, and the number of tiles."""
    z, y, x = voxels.shape
    result = np.full((network.architecture.outputs, z, y, x), np.nan, dtype=np.float32)
    tiles: list[Tile] = []

    def keep(tile: Tile, _: dict[str, torch.Tensor], logits: torch.Tensor) -> None:
        inside = (0, slice(None), *tile.core_in_tile((1, 1, 1), (z, y, x)))
        result[(slice(None), *tile.core_in_volume((1, 1, 1), (z, y, x)))] = logits[inside].numpy()
        tiles.append(tile)

    run_tiles(network, voxels, keep, device=CPU, max_tile_voxels=limit)
    return result, len(tiles)


SIZES = {
    "thick slices": [(3, 9, 150), (3, 110, 9), (61, 9, 13), (4, 16, 160)],
    "planar": [(1, 9, 301), (1, 295, 13), (1, 16, 320)],
    "uneven": [(37, 7, 5), (5, 100, 6), (6, 7, 41)],
}


@pytest.mark.parametrize("name, sizes", [(name, sizes) for name, all_sizes in SIZES.items() for sizes in all_sizes])
def test_one_pass_and_many_tiles_give_the_same_logits(name: str, sizes: Triple) -> None:
    network = random_network(ARCHITECTURES[name])
    voxels = np.random.default_rng(1).random(sizes, dtype=np.float32)
    whole, one = logits_of(network, voxels, 10**9)
    tiled, many = logits_of(
        network, voxels, prod(pad_to_stride(voxels, network.architecture.total_stride).shape) * 3 // 4
    )
    assert one == 1
    assert many > 1
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    # The plain network on an image that needs no padding is the reference.
    if all(n % s == 0 for n, s in zip(sizes, network.architecture.total_stride, strict=True)):
        with torch.no_grad():
            plain = network(torch.from_numpy(voxels)[None, None])[0].numpy()
        np.testing.assert_allclose(whole, plain, atol=1e-5)


@pytest.mark.parametrize("architecture", [THICK_SLICES, PLANAR], ids=["thick slices", "planar"])
def test_a_halo_that_is_too_small_would_be_noticed(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(architecture)
    sizes = (1, 16, 320) if architecture is PLANAR else (4, 16, 160)
    voxels = np.random.default_rng(1).random(sizes, dtype=np.float32)
    whole, _ = logits_of(network, voxels, 10**9)
    z, y, x = (h // 2 // s * s for h, s in zip(architecture.halo, architecture.total_stride, strict=True))
    monkeypatch.setattr(Architecture, "halo", property(lambda _: (z, y, x)))
    tiled, many = logits_of(network, voxels, prod(sizes) // 2)
    assert many > 1
    assert np.abs(tiled - whole).max() > 1e-4


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    voxels = np.zeros((2, 8, 160), dtype=np.float32)
    run_tiles(
        random_network(THICK_SLICES), voxels, lambda *_: None, device=CPU, max_tile_voxels=1_800, progress=told.append
    )
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == 1.0
