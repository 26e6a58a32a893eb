"""Bootstrap over groups."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.metrics.bootstrap import draw_weights, interval, weighted_mean, weighted_sum

GROUPS = ["a", "a", "a", "b", "c", "c"]


def test_cases_of_a_group_are_drawn_together_and_as_many_groups_as_there_are() -> None:
    weights = draw_weights(GROUPS, np.random.default_rng(1), 200)
    assert weights.shape == (200, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, [0, 3, 4]].sum(axis=1) == 3).all()


def test_the_same_generator_gives_the_same_draws() -> None:
    one, other = (draw_weights(GROUPS, np.random.default_rng(7), 5) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_interval_of_a_mean_is_that_of_the_standard_error() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=300)
    weights = draw_weights([str(i) for i in range(300)], rng, 2000)
    found = interval(weighted_mean(weights, values), 300)
    assert found is not None
    half = 1.96 * values.std() / np.sqrt(300)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_sums_are_those_of_repeated_cases() -> None:
    values = np.arange(12.0).reshape(6, 2)
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 0, 1, 3, 0]], dtype=float)
    np.testing.assert_allclose(weighted_sum(weights, values)[0], values.sum(axis=0))
    np.testing.assert_allclose(weighted_sum(weights, values)[1], 2 * values[0] + values[3] + 3 * values[4])


def test_cases_without_a_value_do_not_count_in_the_mean() -> None:
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0], [1.0, 3.0, 2.0]])
    found = weighted_mean(weights, np.array([1.0, np.nan, 4.0]))
    np.testing.assert_allclose(found, [2.5, np.nan, 3.0])


def test_one_group_or_mostly_undefined_rounds_have_no_interval() -> None:
    assert interval(np.ones(10), 1) is None
    assert interval(np.array([1.0, np.nan, np.nan]), 5) is None
    assert interval(np.array([1.0, 1.0, np.nan]), 5) == (1.0, 1.0)
