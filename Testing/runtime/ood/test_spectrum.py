"""Spectra against the singular values of numpy, whole and in pieces."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network.architecture import Triple
from MultiTaskSegLib.runtime.ood import row_lattice, spectrum
from MultiTaskSegLib.runtime.ood.spectrum import (
    GRAM_FLOOR,
    GramFactor,
    RowBuffer,
    SpectrumCollector,
    TallSkinnyQrFactor,
)
from Testing.runtime.ood.whole_tile import collect
from Testing.runtime.random_network import ARCHITECTURES, THICK_SLICES, random_network
from trainer.tiled.halo_tiles import make_tiles, pad_to_stride
from trainer.tiled.tiled_network import run_tiles

FACTORS = {"gram": GramFactor, "qr": TallSkinnyQrFactor}


def of_rank_and_spread(rows: int, singular_values: list[float], seed: int = 2) -> np.ndarray:
    """A matrix ``(rows, C)`` with the given singular values."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(rows, len(singular_values))))
    right, _ = np.linalg.qr(rng.normal(size=(len(singular_values),) * 2))
    return (left * singular_values) @ right.T


def found_values(kind: str, blocks: list[np.ndarray]) -> np.ndarray:
    factor = FACTORS[kind](blocks[0].shape[1])
    for block in blocks:
        factor.add(torch.from_numpy(block))
    return factor.singular_values()


@pytest.mark.parametrize("kind", FACTORS)
def test_singular_values_are_those_of_numpy(kind: str) -> None:
    rows = np.random.default_rng(1).normal(size=(500, 7))
    expected = np.linalg.svd(rows, compute_uv=False)
    np.testing.assert_allclose(found_values(kind, [rows]), expected, rtol=1e-12)
    np.testing.assert_allclose(found_values(kind, np.array_split(rows, 13)), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_are_no_numbers_are_refused_in_words(kind: str, value: float, dtype: type) -> None:
    rows = np.random.default_rng(1).normal(size=(500, 7)).astype(dtype)
    rows[123, 4] = value
    with pytest.raises(ModelError, match="numbers of this image that are not finite"):
        found_values(kind, [rows])


@pytest.mark.parametrize("kind", FACTORS)
def test_features_whose_squares_are_beyond_single_precision_have_their_singular_values(kind: str) -> None:
    rows = (1e25 * np.random.default_rng(1).normal(size=(500, 7))).astype(np.float32)
    expected = np.linalg.svd(rows.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(found_values(kind, [rows]), expected, rtol=1e-10)


def test_tiny_singular_values_survive_in_qr_and_drown_in_the_gram_matrix() -> None:
    expected = [1e3, 1.0, 1e-7, 3e-8]
    blocks = np.array_split(of_rank_and_spread(400, expected), 5)
    np.testing.assert_allclose(found_values("qr", blocks), expected, rtol=1e-4)
    assert abs(found_values("gram", blocks)[-1] / expected[-1] - 1) > 0.5


def test_above_the_floor_of_the_gram_route_both_routes_agree() -> None:
    expected = [1.0, 1e-2, 1e-4, GRAM_FLOOR]
    blocks = [of_rank_and_spread(300, expected)]
    np.testing.assert_allclose(found_values("gram", blocks), found_values("qr", blocks), rtol=1e-3)


@pytest.mark.parametrize("kind", FACTORS)
def test_fewer_rows_than_channels_leave_zeros(kind: str) -> None:
    rows = np.random.default_rng(4).normal(size=(2, 5))
    values = found_values(kind, [rows])
    assert values.shape == (5,)
    np.testing.assert_allclose(values[:2], np.linalg.svd(rows, compute_uv=False), rtol=1e-10)
    np.testing.assert_allclose(values[2:], 0, atol=1e-6)


def spectra(voxels: np.ndarray, limit: int, floor: float) -> dict[str, tuple[np.ndarray, int, np.ndarray]]:
    z, y, x = voxels.shape
    collector = SpectrumCollector(THICK_SLICES, THICK_SLICES.layer_names, (z, y, x), floor)
    run_tiles(
        random_network(THICK_SLICES),
        voxels,
        lambda tile, maps, _: collect(collector, tile, maps),
        device=torch.device("cpu"),
        max_tile_voxels=limit,
    )
    return {n: (s.singular_values, s.voxels, s.channel_means) for n, s in collector.spectra().items()}


@pytest.mark.parametrize("limit", [10**9, 1_000], ids=["all rows", "some rows"])
@pytest.mark.parametrize("floor", [0.0, 1e-4], ids=["qr", "gram"])
@pytest.mark.parametrize("sizes", [(3, 9, 150), (31, 9, 7)])
def test_the_spectrum_does_not_tell_how_the_image_was_tiled(
    sizes: Triple, floor: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_lattice, "MAX_VALUES", limit)
    voxels = np.random.default_rng(3).random(sizes, dtype=np.float32)
    whole, tiled = spectra(voxels, 10**9, floor), spectra(voxels, prod(sizes) * 3 // 4, floor)
    for name, (values, count, means) in whole.items():
        assert tiled[name][1] == count
        np.testing.assert_allclose(tiled[name][0], values, rtol=1e-4, atol=1e-5 * values[0])
        np.testing.assert_allclose(tiled[name][2], means, rtol=1e-4, atol=1e-6)


def test_spectrum_count_and_means_are_those_of_the_feature_map_without_its_padding() -> None:
    voxels = np.random.default_rng(5).random((3, 9, 13), dtype=np.float32)
    padded = torch.from_numpy(pad_to_stride(voxels, THICK_SLICES.total_stride))[None, None]
    with torch.no_grad():
        maps = random_network(THICK_SLICES).features(padded)
    true_shapes = {"0": (3, 9, 13), "1": (3, 5, 7), "2": (2, 3, 4)}
    for name, (values, count, means) in spectra(voxels, 10**9, 0.0).items():
        z, y, x = true_shapes[name[-1]]
        rows = maps[name][0, :, :z, :y, :x].double().numpy().reshape(maps[name].shape[1], -1).T
        assert count == z * y * x == len(rows)
        np.testing.assert_allclose(values, np.linalg.svd(rows, compute_uv=False), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(means, rows.mean(axis=0), rtol=1e-6, atol=1e-7)


def test_from_some_rows_of_a_smooth_map_the_spectrum_and_the_means_are_nearly_those_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    z, y, x = np.indices((12, 60, 56))
    voxels = (0.5 + 0.2 * np.sin(x / 5 + z / 3) + 0.2 * np.cos(y / 4)).astype(np.float32)
    whole = spectra(voxels, 10**9, 1e-4)
    monkeypatch.setattr(row_lattice, "MAX_VALUES", voxels.size)
    some = spectra(voxels, 10**9, 1e-4)
    for name, (values, count, means) in whole.items():
        assert some[name][1] == count
        np.testing.assert_allclose(np.log(some[name][0] / values), 0, atol=0.1)
        np.testing.assert_allclose(some[name][2], means, atol=0.01 * np.abs(means).max())
    assert not np.array_equal(some["decoder0"][0], whole["decoder0"][0])


@pytest.mark.parametrize("floor", [0.0, 1e-4], ids=["qr", "gram"])
def test_rows_that_wait_for_others_give_what_they_give_at_once(floor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(7).random((9, 12, 40), dtype=np.float32)
    together = spectra(voxels, 1_500, floor)
    monkeypatch.setattr(spectrum, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(spectrum, "VALUES_AT_ONCE", 1)
    for name, (values, count, means) in spectra(voxels, 1_500, floor).items():
        assert together[name][1] == count
        np.testing.assert_allclose(together[name][0], values, rtol=1e-5, atol=1e-6 * values[0])
        np.testing.assert_allclose(together[name][2], means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("capacity", [1, 6, 7, 24, 1_000])
def test_a_buffer_hands_on_every_row_once_and_in_order(capacity: int) -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [torch.randn((*places, 3), generator=generator) for places in ((2, 3), (1, 6), (0, 2), (24,), (5,), (1,))]
    buffer, taken = RowBuffer(3, capacity), []
    for part in parts:
        taken += [rows.clone() for rows in buffer.add(part)]
    taken += [rows.clone() for rows in buffer.taken()]
    assert torch.equal(torch.cat(taken), torch.cat([part.reshape(-1, 3) for part in parts]))
    assert not list(buffer.taken())


def test_padding_that_is_counted_would_be_noticed() -> None:
    voxels = np.random.default_rng(5).random((3, 9, 13), dtype=np.float32)
    z, y, x = pad_to_stride(voxels, THICK_SLICES.total_stride).shape
    collector = SpectrumCollector(THICK_SLICES, ("decoder0",), (z, y, x), 0.0)
    tile = make_tiles((z, y, x), THICK_SLICES.total_stride, THICK_SLICES.halo, 10**9)[0]
    with torch.no_grad():
        maps = random_network(THICK_SLICES).features(
            torch.from_numpy(pad_to_stride(voxels, THICK_SLICES.total_stride))[None, None]
        )
    collect(collector, tile, maps)
    values, count, _ = spectra(voxels, 10**9, 0.0)["decoder0"]
    assert collector.spectra()["decoder0"].voxels > count
    assert not np.allclose(collector.spectra()["decoder0"].singular_values, values, rtol=1e-3)


def test_layers_of_every_architecture_can_be_collected() -> None:
    for architecture in ARCHITECTURES.values():
        z, y, x = (2 * s for s in architecture.total_stride)
        collector = SpectrumCollector(architecture, architecture.layer_names, (z, y, x), 0.0)
        tile = make_tiles((z, y, x), architecture.total_stride, architecture.halo, 10**9)[0]
        with torch.no_grad():
            collect(collector, tile, random_network(architecture).features(torch.rand((1, 1, z, y, x))))
        for name, found in collector.spectra().items():
            assert found.singular_values.shape == (architecture.channels[int(name[-1])],)
            assert (np.diff(found.singular_values) <= 0).all()


@pytest.mark.parametrize(("smallest", "single"), [(0.05, True), (6e-3, True), (2e-3, False)])
def test_single_precision_is_used_where_the_condition_allows_it_and_stays_accurate(
    smallest: float, single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [1.0, 0.5, 0.2, smallest]
    rows = of_rank_and_spread(60_000, [200 * value for value in expected]).astype(np.float32)
    products: list[torch.dtype] = []
    exact = torch.Tensor.to

    def to(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Note that rows are turned into float64."""
        products.append(dtype)
        return exact(tensor, dtype)

    monkeypatch.setattr(torch.Tensor, "to", to)
    factor = GramFactor(4)
    for block in np.array_split(rows, 12):
        factor.add(torch.from_numpy(block))
    assert (not products) == single
    values = factor.singular_values()
    np.testing.assert_allclose(values / values[0], expected, rtol=1e-3)
