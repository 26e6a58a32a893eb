"""The result of a network in tiles does not tell how it was tiled."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.tiling import Tile
from Testing.runtime.random_network import ARCHITECTURES, PLANAR, THICK_SLICES, random_network
from trainer.tiled import tiled_network
from trainer.tiled.halo_tiles import pad_to_stride
from trainer.tiled.task_logits import task_logits
from trainer.tiled.tiled_network import run_tiles

CPU = torch.device("cpu")


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


def test_channels_that_are_not_wanted_are_not_computed_and_the_wanted_ones_are_the_same() -> None:
    network = random_network(THICK_SLICES)
    voxels = np.random.default_rng(2).random((4, 16, 16), dtype=np.float32)
    asked: list[tuple[int, ...]] = []
    found: list[torch.Tensor] = []
    run_tiles(
        network,
        voxels,
        lambda tile, maps, logits: (asked.append(tuple(logits.shape)), found.append(logits)),  # type: ignore[arg-type]
        device=CPU,
        channels=slice(1, 2),
    )
    assert asked == [(1, 1, 4, 16, 16)]
    np.testing.assert_allclose(found[0][0], logits_of(network, voxels, 10**9)[0][1:2], atol=1e-6)


def test_the_logits_of_a_task_are_those_of_its_channels_and_no_others_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = random_network(THICK_SLICES)
    asked: list[slice] = []
    plain = tiled_network.some_channels

    def noted(head: torch.nn.Module, maps: torch.Tensor, channels: slice) -> torch.Tensor:
        asked.append(channels)
        return plain(head, maps, channels)

    voxels = np.random.default_rng(2).random((3, 10, 12), dtype=np.float32)
    expected, _ = logits_of(network, voxels, 10**9)
    monkeypatch.setattr(tiled_network, "some_channels", noted)
    task = SimpleNamespace(channels=slice(1, 3))
    np.testing.assert_allclose(task_logits(network, voxels, task, device=CPU), expected[1:3], atol=1e-6)
    assert asked == [slice(1, 3)]
