"""Figures of repeated cases are those of a list in which the cases are repeated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from trainer.metrics.weighted_figure import mean_of_defined, weighted_mean, weighted_spearman, weighted_sum


def test_sums_are_those_of_repeated_cases() -> None:
    values = np.arange(12.0).reshape(6, 2)
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 0, 1, 3, 0]], dtype=float)
    np.testing.assert_allclose(weighted_sum(weights, values)[0], values.sum(axis=0))
    np.testing.assert_allclose(weighted_sum(weights, values)[1], 2 * values[0] + values[3] + 3 * values[4])


def test_cases_without_a_value_do_not_count_in_the_mean() -> None:
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0], [1.0, 3.0, 2.0]])
    found = weighted_mean(weights, np.array([1.0, np.nan, 4.0]))
    np.testing.assert_allclose(found, [2.5, np.nan, 3.0])


def test_a_mean_is_over_what_is_defined_in_the_round() -> None:
    found = mean_of_defined(np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]]))
    np.testing.assert_array_equal(found, [2.0, 5.0, np.nan])


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_correlation_of_repeated_pairs_with_ties_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 5, 12).astype(float) for _ in range(2))
    counts = rng.integers(0, 4, (5, 12)).astype(float)
    expected = [spearmanr(np.repeat(x, n.astype(int)), np.repeat(y, n.astype(int))).statistic for n in counts]
    np.testing.assert_allclose(weighted_spearman(x, y, counts), expected)


def test_fewer_than_three_pairs_or_a_constant_side_have_no_rank_correlation() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    counts = np.array([[1.0, 1.0, 0.0], [3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(weighted_spearman(x, y, counts), [np.nan, np.nan, 0.5])
    assert np.isnan(weighted_spearman(np.ones(3), y, np.ones((1, 3)))).all()
    assert np.isnan(weighted_spearman(np.array([]), np.array([]), np.ones((2, 0)))).all()
