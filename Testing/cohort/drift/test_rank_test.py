"""P-values are those of closed forms, of every order, and of chance alone."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kruskal, mannwhitneyu

from MultiTaskSegLib.cohort.drift.rank_test import change_point, group_difference, holm

ROUNDS = 4999


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_with_one_border_it_is_the_exact_rank_sum_test():
    values = np.array([3.1, 0.2, 5.0, 1.1, 9.0, 7.5, 8.2, 4.0])
    exact = mannwhitneyu(values[:4], values[4:], method="exact").pvalue
    found = change_point(values, np.array([4]), ROUNDS, drawn())
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / ROUNDS))


def test_over_all_borders_it_is_the_share_of_all_orders_that_are_as_extreme():
    values, borders = np.array([1.0, 2.0, 3.0, 5.0, 4.0, 6.0]), np.arange(1, 6)

    def strength(order: np.ndarray) -> float:
        return max(
            abs(order[:k].mean() - order[k:].mean()) * np.sqrt(k * (6 - k)) for k in borders
        )  # of ranks, a difference of means is the same but for a factor

    most = strength(values)
    exact = np.mean([strength(np.array(order)) >= most - 1e-9 for order in permutations(values)])
    found = change_point(values, borders, ROUNDS, drawn())
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / ROUNDS))


def test_a_step_is_found_at_its_place_and_only_ranks_count():
    values = drawn(3).normal(size=60)
    values[40:] += 3
    borders = np.arange(5, 56)
    found = change_point(values, borders, 999, drawn())
    assert (found.p_value, borders[found.place]) == (0.001, 40)
    assert change_point(np.exp(values), borders, 999, drawn()) == found
    assert change_point(-values, borders, 999, drawn()) == found


def test_groups_are_compared_as_by_kruskal_and_wallis():
    parts = [drawn(seed).normal(shift, 1, 40) for seed, shift in enumerate((0.0, 0.0, 0.45))]
    found = group_difference(np.concatenate(parts), np.array([40, 40, 40]), ROUNDS, drawn())
    asymptotic = kruskal(*parts).pvalue
    assert 0.01 < asymptotic < 0.2
    assert found.p_value == pytest.approx(asymptotic, rel=0.15)
    assert found.place == 2


def test_equal_values_prove_nothing():
    assert change_point(np.ones(30), np.array([10, 20]), 99, drawn()).p_value == 1.0
    assert group_difference(np.ones(30), np.array([10, 20]), 99, drawn()).p_value == 1.0


def test_of_cohorts_without_a_change_about_one_in_twenty_passes():
    ends = np.arange(5, 36)
    hits = sum(change_point(drawn(seed).normal(size=40), ends, 199, drawn(seed)).p_value <= 0.05 for seed in range(400))
    assert 0.02 <= hits / 400 <= 0.085  # 20 are expected, with a standard deviation of 4.4


def test_holm_is_never_less_than_each_value_alone_and_keeps_their_order():
    p_values = list(drawn(1).uniform(0, 0.2, 12))
    adjusted = holm(p_values)
    assert min(adjusted) == pytest.approx(12 * min(p_values))
    assert all(after >= before for after, before in zip(adjusted, p_values, strict=True))
    assert sorted(adjusted) == [adjusted[k] for k in np.argsort(p_values)]
    assert holm([]) == []
