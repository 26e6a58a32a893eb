"""Resampling: what linear interpolation between grids of the same extent must keep."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.resampling import interpolation_matrix, resample_linear, resampling_bytes

SIZES = [(1, 1), (1, 5), (5, 1), (7, 7), (7, 8), (8, 7), (10, 30), (30, 10), (13, 29), (29, 13), (5, 64)]


def centres(count: int) -> np.ndarray:
    """Voxel centres on a line of length 1."""
    return (np.arange(count) + 0.5) / count


@pytest.mark.parametrize("n_in, n_out", SIZES)
def test_weights_are_not_negative_and_each_row_adds_up_to_one(n_in: int, n_out: int) -> None:
    matrix = interpolation_matrix(n_in, n_out).toarray()
    assert matrix.shape == (n_out, n_in)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_the_same_grid_is_the_identity(n: int) -> None:
    np.testing.assert_allclose(interpolation_matrix(n, n).toarray(), np.eye(n))


@pytest.mark.parametrize("n_in, n_out", [s for s in SIZES if s[0] > 4])
def test_a_linear_ramp_stays_the_same_ramp_inside(n_in: int, n_out: int) -> None:
    found = interpolation_matrix(n_in, n_out) @ centres(n_in)
    # At the border the outermost voxel is repeated, within one voxel of the coarser grid.
    margin = 1.0 / min(n_in, n_out)
    inside = (centres(n_out) > margin) & (centres(n_out) < 1 - margin)
    # A widened triangle that is sampled at a fraction of a voxel is no longer centred exactly: a tenth of a voxel.
    exact = n_in <= n_out or n_in % n_out == 0
    np.testing.assert_allclose(found[inside], centres(n_out)[inside], atol=1e-6 if exact else 0.1 / n_in)


@pytest.mark.parametrize("n_in, n_out", SIZES)
def test_a_window_of_everything_is_everything_and_a_part_is_cut_from_the_middle(n_in: int, n_out: int) -> None:
    np.testing.assert_array_equal(
        interpolation_matrix(n_in, n_out, n_in).toarray(), interpolation_matrix(n_in, n_out).toarray()
    )
    padded = interpolation_matrix(n_in + 20, n_out, n_in).toarray()
    np.testing.assert_allclose(padded.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(padded, padded[::-1, ::-1], atol=1e-6)
    values = np.arange(n_in + 20.0)
    expected = 10 + centres(n_out) * n_in - 0.5
    np.testing.assert_allclose(padded @ values, expected, atol=1e-5 if n_in <= n_out or n_in % n_out == 0 else 0.1)


@pytest.mark.parametrize("n_in, n_out", SIZES)
def test_a_mirrored_line_gives_the_mirrored_result(n_in: int, n_out: int) -> None:
    matrix = interpolation_matrix(n_in, n_out).toarray()
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize("n_in, n_out", [s for s in SIZES if s[1] >= s[0] > 1])
def test_finer_grids_are_numpy_s_linear_interpolation(n_in: int, n_out: int) -> None:
    values = np.random.default_rng(n_in).normal(size=n_in)
    expected = np.interp(centres(n_out), centres(n_in), values)
    np.testing.assert_allclose(interpolation_matrix(n_in, n_out) @ values, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_shrinking_by_a_whole_factor_keeps_the_mean(factor: int) -> None:
    values = np.random.default_rng(factor).normal(size=20 * factor)
    values[: 2 * factor] = values[-2 * factor :] = 0.25  # a quiet border: there the outer voxel counts more
    assert (interpolation_matrix(20 * factor, 20) @ values).mean() == pytest.approx(values.mean(), abs=1e-6)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile([0.0, 1.0], 60)
    found = interpolation_matrix(120, 17) @ stripes
    np.testing.assert_allclose(found[2:-2], 0.5, atol=0.06)


def test_all_axes_are_resampled_and_earlier_axes_are_kept() -> None:
    array = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    z, y, x = (interpolation_matrix(a, b).toarray() for a, b in ((5, 8), (6, 3), (7, 7)))
    expected = np.einsum("az,by,cx,kzyx->kabc", z, y, x, array)
    found = resample_linear(array, (8, 3, 7))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_constants_stay_constant_in_any_size() -> None:
    found = resample_linear(np.full((4, 9, 5), 3.25, dtype=np.float32), (7, 2, 11))
    np.testing.assert_allclose(found, 3.25, rtol=1e-6)


def test_the_input_is_left_alone() -> None:
    array = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    before = array.copy()
    resample_linear(array, (8, 5, 3))
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_the_axis_that_shrinks_most_goes_first_so_that_the_others_have_less_to_do(axes: tuple[int, int, int]) -> None:
    shape_in, shape = np.array([100, 10, 50]), np.array([10, 20, 50])
    # A copy of all and a tenth of it; then that tenth twice, and the result.
    most = max(100 * 10 * 50 + 10 * 10 * 50, 2 * 10 * 10 * 50 + 10 * 20 * 50)
    assert resampling_bytes(tuple(shape_in[list(axes)]), tuple(shape[list(axes)])) == 4 * most
    assert resampling_bytes((7, 8, 9), (7, 8, 9)) == 0
