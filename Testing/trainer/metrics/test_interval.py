"""Intervals are the textbook's where there is one, and count patients, not images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from trainer.metrics.interval import (
    PatientDraws,
    drawn_interval,
    effective_number,
    mean_interval,
    share_interval,
    unanimous_interval,
)
from trainer.metrics.weighted_figure import weighted_mean

CASES = ["a", "a", "a", "b", "c", "c"]


def draws(patients: list[str], seed: int = 1, rounds: int = 200) -> PatientDraws:
    return PatientDraws(patients, np.random.default_rng(seed), rounds)


def test_the_t_interval_of_three_values_is_the_textbook_one() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert (found.value, found.count) == (2.0, 3)
    # t(0.975, 2 degrees of freedom) = 4.302653, standard error = 1 / sqrt(3)
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def test_two_values_have_an_interval_and_one_has_none() -> None:
    # t(0.975, 1 degree of freedom) = 12.7062, standard error 1 / 2 of the distance.
    found = mean_interval([1.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)
    assert str(found) == "2.000 (-10.706 to 14.706)"
    assert str(mean_interval([1.0])) == "1.000"


def test_values_that_were_not_measured_do_not_count() -> None:
    assert mean_interval([1.0, float("nan"), 3.0]) == mean_interval([1.0, 3.0])
    single = mean_interval([float("nan"), 4.0])
    assert (single.value, single.low, single.high, single.count) == (4.0, None, None, 1)
    assert math.isnan(mean_interval([]).value)


def test_equal_values_do_not_make_a_certainty() -> None:
    found = mean_interval([0.1 + 0.2, 0.3, 0.3])
    assert (found.value, found.low, found.high, found.count) == (pytest.approx(0.3), None, None, 3)


def test_an_interval_does_not_leave_the_range_in_which_every_value_lies() -> None:
    found = mean_interval([0.9, 1.0, 0.8], bounds=(0.0, 1.0))
    assert (found.value, found.high) == (pytest.approx(0.9), 1.0)
    assert found.low == mean_interval([0.9, 1.0, 0.8]).low


@pytest.mark.parametrize("hits, trials", [(0, 7), (7, 7), (47, 47), (111, 111)])
def test_the_interval_of_a_share_of_all_or_none_is_the_exact_one(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(method="exact")
    found = share_interval([True] * hits + [False] * (trials - hits), [str(n) for n in range(trials)])
    assert found == pytest.approx((expected.low, expected.high))
    assert unanimous_interval(hits / trials, trials) == found


@pytest.mark.parametrize("hits, trials", [(300, 1000), (1990, 2000)])
def test_the_interval_of_a_share_of_many_independent_images_is_wilson_s(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    found = share_interval([True] * hits + [False] * (trials - hits), [str(n) for n in range(trials)])
    assert found == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_all_of_111_patients_do_not_make_a_certainty() -> None:
    low, high = share_interval([True] * 111, [str(n) for n in range(111)])
    assert (round(100 * low, 1), high) == (96.7, 1.0)


@pytest.mark.parametrize("found", [[True, True, True], [True, False, True], [False, False, True]])
def test_the_same_patients_ten_times_over_are_no_more_evidence(found: list[bool]) -> None:
    names = [f"{name}{n}" for n in range(10) for name in "abc"]
    once = share_interval(found * 10, names)
    ten = share_interval([value for value in found * 10 for _ in range(10)], [n for n in names for _ in range(10)])
    assert ten == pytest.approx(once, abs=0.005)


def test_of_one_patient_a_share_between_none_and_all_says_nothing() -> None:
    assert share_interval([True, False, True], ["a"] * 3) == (0.0, 1.0)
    assert share_interval([True] * 50, ["a"] * 50) == pytest.approx((0.025, 1.0))


def test_images_of_a_patient_that_differ_like_those_of_strangers_count_almost_in_full() -> None:
    rng = np.random.default_rng(0)
    found, patients = (rng.random(400) < 0.7).tolist(), [str(n % 40) for n in range(400)]
    clustered, independent = share_interval(found, patients), share_interval(found, [str(n) for n in range(400)])
    assert clustered == pytest.approx(independent, abs=0.02)


def test_equal_weights_count_in_full_and_one_large_one_counts_alone() -> None:
    assert effective_number(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_number(np.array([1e9, 1.0, 1.0])) == pytest.approx(1, abs=1e-6)


def test_cases_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are() -> None:
    weights = draws(CASES).weights(CASES)
    assert weights.shape == (200, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, [0, 3, 4]].sum(axis=1) == 3).all()
    assert not (weights[:, 0] == weights[:, 3]).all()


def test_a_patient_is_drawn_once_for_every_task_and_kind() -> None:
    drawn = draws([f"p{n}" for n in range(20)])
    one, other = drawn.weights(["p3", "p5", "p7"]), drawn.weights(["p7", "p3"])
    np.testing.assert_array_equal(one[:, [2, 0]], other)


def test_patients_of_two_tasks_of_the_same_size_are_not_drawn_alike() -> None:
    first, second = ([f"{task}{n}" for n in range(16)] for task in "ab")
    drawn = draws([*first, *second], rounds=2000)
    one, other = drawn.weights(first), drawn.weights(second)
    correlations = [np.corrcoef(one[:, k], other[:, k])[0, 1] for k in range(16)]
    assert np.abs(correlations).max() < 0.12


def test_each_patient_is_as_likely_as_any_other() -> None:
    drawn = draws(list("abcde"), 3, 4000).weights(list("abcde"))
    # The variance of each count is that of a binomial of 5 draws with probability 1/5; three standard errors.
    np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=3 * np.sqrt(0.8 / 4000))
    np.testing.assert_allclose(drawn.var(axis=0), 0.8, atol=0.12)


def test_the_draws_follow_from_the_generator_alone() -> None:
    one, again, other = (draws(CASES, seed).weights(CASES) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_drawn_interval_of_a_mean_is_that_of_student() -> None:
    rng = np.random.default_rng(2)
    for count in (30, 300):
        values, names = rng.normal(size=count), [str(n) for n in range(count)]
        rounds = weighted_mean(PatientDraws(names, rng, 8000).weights(names), values)
        expected = mean_interval(values.tolist())
        assert drawn_interval(rounds, count) == pytest.approx((expected.low, expected.high), abs=0.12 / count**0.5)


def test_the_tails_are_wider_for_few_patients_and_2_5_percent_for_many() -> None:
    rounds = np.arange(100001.0)
    assert drawn_interval(rounds, 10**6) == pytest.approx((2500, 97500), abs=1)
    # Student's t with 9 degrees of freedom is 2.262; times sqrt(10 / 9) it has a normal tail of 0.00855.
    assert drawn_interval(rounds, 10) == pytest.approx((855, 99145), abs=5)


def test_there_is_no_interval_where_there_is_nothing_to_tell() -> None:
    nan = np.nan
    assert drawn_interval(np.array([1.0, 2.0]), 1) is None
    assert drawn_interval(np.array([1.0, nan, nan, 3.0, nan]), 5) is None
    assert drawn_interval(np.array([1.0, 3.0, nan, nan]), 5) is not None
    assert drawn_interval(np.ones(10), 5) is None
