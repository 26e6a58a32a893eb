"""Calibration errors of voxels whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from trainer.uncertainty.reliability import (
    BINS,
    average_calibration_error,
    brier_score,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_table,
    squared_error_total,
)


def drawn(count: int, sharpness: float = 1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Foreground drawn from the probabilities; with another sharpness than 1 these are then made wrong."""
    rng = np.random.default_rng(seed)
    right = rng.uniform(0.001, 0.999, count)
    foreground = rng.random(count) < right
    odds = (right / (1 - right)) ** sharpness
    return odds / (1 + odds), foreground


def test_perfectly_calibrated_voxels_have_no_error_beyond_chance() -> None:
    count = 200_000
    table = reliability_table(*drawn(count))
    # A bin's observed share scatters by at most half over the square root of its voxels.
    limit = 4 * 0.5 / np.sqrt(count / 10)
    assert float(expected_calibration_error(table)) < limit
    assert float(average_calibration_error(table)) < limit
    assert float(maximum_calibration_error(table)) < limit


@pytest.mark.parametrize(("probability", "share"), [(0.35, 0.8), (0.95, 0.2), (0.05, 0.05)])
def test_a_constant_probability_has_the_distance_to_the_share_as_every_error(probability: float, share: float) -> None:
    foreground = np.arange(1000) < 1000 * share
    table = reliability_table(np.full(1000, probability), foreground)
    expected = abs(probability - share)
    for error in (expected_calibration_error, maximum_calibration_error, average_calibration_error):
        assert float(error(table)) == pytest.approx(expected)
    total = squared_error_total(np.full(1000, probability), foreground)
    assert float(brier_score(total)) == pytest.approx(share * (1 - probability) ** 2 + (1 - share) * probability**2)


def test_exact_0_and_1_are_in_no_bin_but_are_voxels_of_the_image_and_of_the_brier_score() -> None:
    probability = np.array([0.0, 0.0, 1.0, 0.25])
    foreground = np.array([False, True, False, False])
    table, total = reliability_table(probability, foreground), squared_error_total(probability, foreground)
    assert table[0].sum() == 1
    assert float(expected_calibration_error(table)) == pytest.approx(0.25)
    assert float(expected_calibration_error(table, total[0])) == pytest.approx(0.25 / 4)
    assert float(brier_score(total)) == pytest.approx((1 + 1 + 0.0625) / 4)


def test_the_bins_are_those_of_scikit_learn() -> None:
    probability, foreground = drawn(5_000, 1.7)
    table = reliability_table(probability, foreground)
    observed, mean = calibration_curve(foreground, probability, n_bins=10)
    np.testing.assert_allclose(table[1] / table[0], mean)
    np.testing.assert_allclose(table[2] / table[0], observed)
    share = table[0] / table[0].sum()
    assert float(expected_calibration_error(table)) == pytest.approx(float(np.sum(share * np.abs(mean - observed))))
    assert float(average_calibration_error(table)) == pytest.approx(float(np.mean(np.abs(mean - observed))))
    assert float(maximum_calibration_error(table)) == pytest.approx(float(np.max(np.abs(mean - observed))))


def test_sharpened_probabilities_have_a_larger_error() -> None:
    errors = [float(expected_calibration_error(reliability_table(*drawn(50_000, s)))) for s in (1.0, 2.0, 4.0)]
    assert errors[0] < errors[1] < errors[2]


def test_tables_of_parts_add_up_to_the_table_of_the_whole() -> None:
    probability, foreground = drawn(999)
    parts = [reliability_table(probability[i::3], foreground[i::3]) for i in range(3)]
    np.testing.assert_allclose(np.sum(parts, axis=0), reliability_table(probability, foreground))


def test_leading_axes_are_kept() -> None:
    tables = np.stack([reliability_table(*drawn(500, seed=seed)) for seed in range(6)]).reshape(2, 3, 3, BINS)
    for error in (expected_calibration_error, maximum_calibration_error, average_calibration_error):
        together = error(tables)
        assert together.shape == (2, 3)
        assert together[1, 2] == pytest.approx(float(error(tables[1, 2])))


def test_without_voxels_there_is_no_figure() -> None:
    table = reliability_table(np.empty(0), np.empty(0, dtype=bool))
    for error in (expected_calibration_error, maximum_calibration_error, average_calibration_error):
        assert np.isnan(error(table))
    assert np.isnan(brier_score(squared_error_total(np.empty(0), np.empty(0, dtype=bool))))
