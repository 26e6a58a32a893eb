"""Texture, layout and shading of an image: closed forms, and transforms done one neighbourhood at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.fft import dctn

from MultiTaskSegLib.runtime.ood import image_statistics as module
from MultiTaskSegLib.runtime.ood.image_statistics import (
    CELLS,
    LAYOUT,
    SHADING,
    STATISTICS,
    TEXTURES,
    cosine_filters,
    image_statistics,
    statistic_length,
)

SIDES = {True: (1, 5, 5), False: (3, 3, 3)}


def picture(planar: bool, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 23, 18) if planar else (9, 14, 11)).astype(np.float32)


def powers_one_by_one(voxels: np.ndarray, sides: tuple[int, int, int], step: tuple[int, int, int]) -> np.ndarray:
    """Mean squared cosine components, every neighbourhood transformed by itself."""
    corners = product(*(range(0, n - side + 1, s) for n, side, s in zip(voxels.shape, sides, step, strict=True)))
    blocks = [voxels[tuple(slice(c, c + n) for c, n in zip(corner, sides, strict=True))] for corner in corners]
    return np.mean([dctn(block.astype(np.float64), norm="ortho").ravel() ** 2 for block in blocks], axis=0)


@pytest.mark.parametrize("planar", [True, False])
def test_the_texture_is_the_mean_power_of_the_cosine_components_of_all_neighbourhoods(planar: bool) -> None:
    voxels = picture(planar)
    expected = powers_one_by_one(voxels, SIDES[planar], (1, 1, 1))
    np.testing.assert_allclose(np.exp(image_statistics(voxels, planar).values[TEXTURES[0]]), expected, rtol=1e-4)


@pytest.mark.parametrize("planar", [True, False])
def test_the_coarser_texture_is_that_of_the_image_halved_in_the_plane(planar: bool) -> None:
    voxels = picture(planar)[:, :12, :10]
    z, y, x = voxels.shape
    halved = voxels.reshape(z, y // 2, 2, x // 2, 2).mean(axis=(2, 4))
    values = image_statistics(voxels, planar).values
    np.testing.assert_allclose(values[TEXTURES[1]], image_statistics(halved, planar).values[TEXTURES[0]], rtol=1e-4)


@pytest.mark.parametrize("shape", [(5, 11, 9), (4, 8, 7), (3, 7, 6)])
def test_halving_an_image_of_odd_size_keeps_its_last_line(shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(8).random(shape).astype(np.float32)
    pairs = (slice(start, start + 2) for start in range(0, shape[1], 2))
    lines = np.stack([voxels[:, pair].mean(axis=1) for pair in pairs], axis=1)
    halved = np.stack([lines[:, :, n : n + 2].mean(axis=2) for n in range(0, shape[2], 2)], axis=2)
    expected = image_statistics(halved, False).values[TEXTURES[0]]
    np.testing.assert_allclose(image_statistics(voxels, False).values[TEXTURES[1]], expected, rtol=1e-4)


def test_a_large_image_is_looked_at_on_a_coarser_lattice(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(1).random((34, 40, 36)).astype(np.float32)
    monkeypatch.setattr(module, "MAX_PLACES", voxels.size // 8)
    expected = powers_one_by_one(voxels, (3, 3, 3), (2, 2, 2))
    np.testing.assert_allclose(np.exp(image_statistics(voxels, False).values[TEXTURES[0]]), expected, rtol=1e-4)


def test_thin_stacks_keep_all_their_slices_when_the_plane_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(2).random((6, 40, 36)).astype(np.float32)
    monkeypatch.setattr(module, "MAX_PLACES", voxels.size // 8)
    expected = powers_one_by_one(voxels, (3, 3, 3), (1, 2, 2))
    np.testing.assert_allclose(np.exp(image_statistics(voxels, False).values[TEXTURES[0]]), expected, rtol=1e-4)


def test_the_result_does_not_depend_on_how_many_slices_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = picture(planar=False)
    whole = image_statistics(voxels, False).values[TEXTURES[0]]
    monkeypatch.setattr(module, "VALUES_AT_ONCE", 1)
    np.testing.assert_allclose(image_statistics(voxels, False).values[TEXTURES[0]], whole, rtol=1e-5)


@pytest.mark.parametrize("sides", [(1, 5, 5), (3, 3, 3)])
def test_the_filters_are_orthonormal_so_that_powers_add_up_to_the_energy(sides: tuple[int, int, int]) -> None:
    rows = cosine_filters(sides).reshape(np.prod(sides), -1).numpy()
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-6)


def test_a_brighter_image_has_the_same_texture_up_to_the_square_of_the_factor() -> None:
    voxels = picture(planar=False)
    dim, bright = (image_statistics(voxels * f, False).values[TEXTURES[0]] for f in (0.25, 1.0))
    np.testing.assert_allclose(bright - dim, np.log(16.0), atol=1e-4)


def test_a_constant_image_has_power_in_the_mean_component_only() -> None:
    texture = image_statistics(np.full((8, 9, 10), 0.5, dtype=np.float32), False).values[TEXTURES[0]]
    assert np.exp(texture[0]) == pytest.approx(27 * 0.25)
    assert (np.exp(texture[1:]) < 1e-9).all()


def test_turning_an_image_by_a_quarter_exchanges_the_components_along_the_two_axes() -> None:
    voxels = picture(planar=True)
    turned = np.ascontiguousarray(voxels.transpose(0, 2, 1))
    own, other = (image_statistics(v, True).values[TEXTURES[0]].reshape(5, 5) for v in (voxels, turned))
    np.testing.assert_allclose(own.T, other, rtol=1e-4, atol=1e-5)


def test_the_layout_holds_mean_and_spread_of_every_cell() -> None:
    rng = np.random.default_rng(3)
    means, spreads = rng.uniform(0.4, 0.6, (2, 4, 4)), rng.uniform(0.1, 0.4, (2, 4, 4))
    checker = np.indices((6, 8, 12)).sum(axis=0) % 2 * 2.0 - 1.0
    cells = [np.kron(part, np.ones((3, 2, 3))) for part in (means, spreads)]
    voxels = (cells[0] + cells[1] * checker).astype(np.float32)
    layout = image_statistics(voxels, False).values[LAYOUT]
    np.testing.assert_allclose(layout[:32], means.ravel(), atol=1e-5)
    np.testing.assert_allclose(layout[32:], np.log(spreads.ravel()), atol=1e-4)


def low_components(logarithms: np.ndarray, keep: tuple[int, int, int]) -> np.ndarray:
    """Cosine components of the cells' logarithms, every basis function written out."""
    sizes = logarithms.shape

    def wave(n: int, k: int) -> np.ndarray:
        return np.cos(np.pi * (np.arange(n) + 0.5) * k / n) * np.sqrt((1 if k == 0 else 2) / n)

    bases = product(*([wave(n, k) for k in range(kept)] for n, kept in zip(sizes, keep, strict=True)))
    return np.array([np.einsum("zyx,z,y,x", logarithms, *waves) for waves in bases]) / np.sqrt(logarithms.size)


@pytest.mark.parametrize("planar, cells, keep", [(True, (1, 32, 32), (1, 8, 8)), (False, (8, 32, 32), (2, 8, 8))])
def test_the_shading_holds_the_lowest_cosine_components_of_the_logarithm_of_the_brightness(
    planar: bool, cells: tuple[int, int, int], keep: tuple[int, int, int]
) -> None:
    brightness = np.random.default_rng(4).uniform(0, 1, cells)
    voxels = np.kron(brightness, np.ones((1, 2, 3))).astype(np.float32)
    expected = low_components(np.log(brightness + 0.02), keep)
    np.testing.assert_allclose(image_statistics(voxels, planar).values[SHADING], expected, atol=1e-5)


def test_a_smooth_multiplicative_field_adds_its_own_components_to_the_shading_of_a_bright_image() -> None:
    rng = np.random.default_rng(5)
    along = np.cos(np.pi * (np.arange(128) + 0.5) / 128)
    field = np.exp(0.2 * along)[None, None, :] * np.ones((1, 128, 1))
    plain = np.kron(rng.uniform(0.4, 0.7, (1, 16, 16)), np.ones((1, 8, 8)))
    shading = [image_statistics(v.astype(np.float32), True).values[SHADING] for v in (plain, plain * field)]
    change = (shading[1] - shading[0]).reshape(8, 8)
    assert change[0, 1] == pytest.approx(0.2 / np.sqrt(2), rel=0.05)
    others = np.delete(change.ravel(), 1)
    assert np.abs(others).max() < 0.01


def test_cells_of_the_layout_share_the_voxels_on_their_border_where_the_size_does_not_divide() -> None:
    voxels = np.random.default_rng(4).random((5, 10, 11)).astype(np.float32)
    cells = [
        voxels[
            tuple(slice(i * n // k, -(-(i + 1) * n // k)) for i, n, k in zip(cell, voxels.shape, CELLS, strict=True))
        ].astype(np.float64)
        for cell in np.ndindex(*CELLS)
    ]
    layout = image_statistics(voxels, False).values[LAYOUT]
    np.testing.assert_allclose(layout[:32], [cell.mean() for cell in cells], rtol=1e-5)
    np.testing.assert_allclose(layout[32:], [np.log(cell.std()) for cell in cells], rtol=1e-4)


@pytest.mark.parametrize(
    "shape, planar", [((1, 3, 4), False), ((2, 1, 1), False), ((1, 2, 7), True), ((1, 1, 1), True)]
)
def test_images_smaller_than_a_neighbourhood_still_give_whole_and_finite_statistics(
    shape: tuple[int, int, int], planar: bool
) -> None:
    values = image_statistics(np.full(shape, 0.3, dtype=np.float32), planar).values
    assert {name: len(v) for name, v in values.items()} == {n: statistic_length(n, planar) for n in STATISTICS}
    assert all(np.isfinite(v).all() for v in values.values())
