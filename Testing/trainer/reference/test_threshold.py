"""The limit of the check as promised: 2.5 deviations, more for few groups, never more than 4."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.reference.spectral_reference import balanced_threshold, whitening

# Mean 0 and deviation 1, so that the threshold is the factor.
SCORES = np.array([-1.0, 1.0])


def factor(groups: int, tasks: int = 1) -> float:
    """Of so many groups in each task, two images each."""
    scores = np.tile(SCORES, groups * tasks)
    of_task = np.repeat(np.arange(tasks), 2 * groups)
    names = [f"g{n}" for n in np.repeat(np.arange(groups * tasks), 2)]
    return balanced_threshold(scores, of_task, names)


def interval_factor(groups: int) -> float:
    """One-sided prediction interval with the tail of 2.5 normal deviations, from a textbook's formula."""
    tail = 0.5 * (1 - 2 * (stats.norm.cdf(2.5) - 0.5))
    return float(stats.t.ppf(1 - tail, groups - 1) * np.sqrt(1 + 2 / (groups - 1)))


def test_without_groups_the_limit_is_two_and_a_half_deviations() -> None:
    assert balanced_threshold(SCORES, np.zeros(2, dtype=np.int64)) == 2.5


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_from_few_groups_the_limit_is_four_deviations(groups: int) -> None:
    assert factor(groups) == 4.0


def test_the_limit_leaves_four_deviations_where_the_interval_s_factor_falls_below() -> None:
    border = next(n for n in range(3, 50) if interval_factor(n) < 4.0)
    assert factor(border - 1) == 4.0
    assert factor(border) == pytest.approx(interval_factor(border))
    assert factor(border) < 4.0


@pytest.mark.parametrize("groups, tasks", [(12, 1), (6, 2), (4, 3)])
def test_groups_of_all_tasks_count_together(groups: int, tasks: int) -> None:
    assert factor(groups, tasks) == pytest.approx(interval_factor(12))


@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_direction_is_whitened_whatever_its_spread(spread: float) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 3)) * [1.0, spread, 5.0]
    white = vectors @ whitening(vectors, np.zeros(400, dtype=np.int64))
    # The shrinkage towards uncorrelated components leaves a little.
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.1)


def test_a_direction_without_spread_is_not_blown_up_without_bound() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 2)) * [1.0, 1e-12]
    projection = whitening(vectors, np.zeros(400, dtype=np.int64))
    # 1e-6 instead of the spread, and a thousandth of the largest variance at least.
    assert np.abs(projection).max() <= 1e6 * 1e-3**-0.5 * 1.01
    assert np.abs(projection).max() >= 1e6
