"""Features of cells against sums over voxels written out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.ood.cell_features import (
    FEATURES,
    SMALLEST_DEVIATION,
    cell_size,
    describe_cells,
    image_cells,
    rows_of,
)
from Testing.runtime.random_network import ARCHITECTURES

CELL = (2, 4, 3)


@pytest.mark.parametrize("shape", [(4, 8, 6), (3, 7, 5), (1, 2, 1)])
def test_cells_hold_mean_and_log_standard_deviation_of_their_voxels(shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    means, deviations = describe_cells(array, CELL)
    assert means.shape == deviations.shape == tuple(-(-n // c) for n, c in zip(shape, CELL, strict=True))
    for index in np.ndindex(*means.shape):
        # The cells at the far end hold what is left of them.
        part = array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, CELL, strict=True))]
        assert means[index] == pytest.approx(part.mean(), abs=1e-5)
        assert np.exp(deviations[index]) == pytest.approx(part.std() + SMALLEST_DEVIATION, abs=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ramp_has_its_slope_along_its_axis_and_no_detail(axis: int) -> None:
    slope = 0.05
    ramp = np.moveaxis(np.broadcast_to(slope * np.arange(20.0), (20, 20, 20)), 2, axis).astype(np.float32)
    # Half a cell per side is kept away from the border, where filters see the image mirrored.
    inner = image_cells(ramp, (4, 4, 4))[:, 2, 2, 2]
    means = inner[0::2]
    expected = np.zeros(6)
    expected[0], expected[1 + axis] = slope * 9.5, slope
    np.testing.assert_allclose(means, expected, atol=3e-4)
    np.testing.assert_allclose(np.exp(inner[3::2]), SMALLEST_DEVIATION, rtol=0.05)


def test_an_image_of_one_slice_has_the_same_features_with_no_slope_across_it() -> None:
    features = image_cells(np.random.default_rng(0).random((1, 16, 16), dtype=np.float32), (1, 8, 8))
    assert features.shape == (FEATURES, 1, 2, 2)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features[2], 0.0)


def test_what_happens_in_one_place_changes_cells_there_only() -> None:
    image = np.random.default_rng(2).random((24, 48, 48), dtype=np.float32)
    altered = image.copy()
    altered[:4, :8, :8] = 0.5
    change = np.abs(image_cells(altered, (4, 8, 8)) - image_cells(image, (4, 8, 8))).max(axis=0)
    assert change[0, 0, 0] > 0.1
    # The widest filter ends four standard deviations of two voxels away.
    assert change[3:].max() == change[:, 2:].max() == change[:, :, 2:].max() == 0.0


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_a_cell_is_the_total_stride_or_half_of_it(architecture: Architecture) -> None:
    for stride, cell in zip(architecture.total_stride, cell_size(architecture), strict=True):
        assert cell == stride or (2 * cell == stride and cell > 1)


def test_levels_beyond_the_fourth_do_not_make_cells_larger() -> None:
    four = Architecture((4, 4, 4, 4), ((1, 2, 2), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 4, 2)
    five = replace(four, channels=(4,) * 5, strides=(*four.strides, (2, 2, 2)), kernels=((3, 3, 3),) * 5)
    assert cell_size(five) == cell_size(four) == (2, 4, 4)


def test_rows_are_cells_in_the_order_of_the_grid() -> None:
    features = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(rows_of(features)[1 * 20 + 2 * 5 + 3], features[:, 1, 2, 3])
