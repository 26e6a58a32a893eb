"""P-values are those of closed forms, of every order, and of chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kruskal, mannwhitneyu, rankdata

from MultiTaskSegLib.cohort.drift.rank_test import change_point, group_difference, holm

ROUNDS = 4999


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ones(count: int) -> np.ndarray:
    return np.ones(count, np.int64)


def test_with_one_border_it_is_the_exact_rank_sum_test():
    values = np.array([3.1, 0.2, 5.0, 1.1, 2.9, 9.0, 7.5, 8.2, 4.0, 2.5])
    exact = mannwhitneyu(values[:5], values[5:], method="exact").pvalue
    found = change_point(values, ones(10), ROUNDS, drawn(), least=5)
    assert 0.01 < exact < 0.3
    assert found.p_value == pytest.approx(exact, rel=0.35)


def test_over_all_borders_it_is_the_share_of_all_orders_of_days_that_are_as_extreme():
    days = [[1.0, 2.0], [3.0], [5.0, 4.0, 6.0], [8.0], [7.0, 9.5]]

    def strength(order: Sequence[Sequence[float]]) -> float:
        """Of ranks, a difference of means is the same but for a factor."""
        ranks, found = rankdata([value for day in order for value in day]), []
        for k in np.cumsum([len(day) for day in order])[:-1]:
            found.append(abs(ranks[:k].mean() - ranks[k:].mean()) * np.sqrt(k * (len(ranks) - k)))
        return max(found)

    most = strength(days)
    exact = np.mean([strength(order) >= most - 1e-9 for order in permutations(days)])
    values, sizes = np.concatenate([np.array(day) for day in days]), np.array([len(day) for day in days])
    found = change_point(values, sizes, ROUNDS, drawn(), least=1)
    assert found.p_value == pytest.approx(exact, rel=0.5)


def test_a_step_is_found_at_its_place_and_only_ranks_count():
    values = drawn(3).normal(size=60)
    values[40:] += 4
    found = change_point(values, ones(60), 999, drawn())
    assert (found.p_value, found.place) == (0.001, 39)
    assert change_point(np.exp(values), ones(60), 999, drawn()) == found
    assert change_point(-values, ones(60), 999, drawn()) == found


def test_groups_are_compared_as_by_kruskal_and_wallis():
    parts = [drawn(seed).normal(shift, 1, 40) for seed, shift in enumerate((0.0, 0.0, 0.45))]
    found = group_difference(np.concatenate(parts), np.array([40, 40, 40]), ROUNDS, drawn())
    asymptotic = kruskal(*parts).pvalue
    assert 0.01 < asymptotic < 0.2
    assert found.p_value == pytest.approx(asymptotic, rel=0.15)
    assert found.place == 2


def test_equal_values_prove_nothing():
    assert change_point(np.ones(30), ones(30), 99, drawn()).p_value == 1.0
    assert group_difference(np.ones(30), np.array([10, 20]), 99, drawn()).p_value == 1.0


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_of_cohorts_without_a_change_about_one_in_twenty_passes_also_where_cases_of_a_day_are_alike(alike: float):
    hits = 0
    for seed in range(300):
        common = np.repeat(drawn(seed).normal(size=20), 3) * np.sqrt(alike)
        values = common + drawn(1000 + seed).normal(size=60) * np.sqrt(1 - alike)
        hits += change_point(values, np.full(20, 3), 199, drawn(seed)).p_value <= 0.05
    assert 0.01 <= hits / 300 <= 0.095  # 15 are expected, with a standard deviation of 3.8


def test_holm_is_never_less_than_each_value_alone_and_keeps_their_order():
    p_values = list(drawn(1).uniform(0, 0.2, 12))
    adjusted = holm(p_values)
    assert min(adjusted) == pytest.approx(12 * min(p_values))
    assert all(after >= before for after, before in zip(adjusted, p_values, strict=True))
    assert sorted(adjusted) == [adjusted[k] for k in np.argsort(p_values)]
    assert holm([]) == []
