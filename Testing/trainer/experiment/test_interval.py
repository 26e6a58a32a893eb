"""Intervals over seeds hold what they promise; rank correlation agrees with ranks counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from trainer.experiment.interval import mean_interval, rank_correlation


def test_the_t_interval_of_three_values_is_the_textbook_one():
    found = mean_interval([1.0, 2.0, 3.0])
    assert (found.value, found.count) == (2.0, 3)
    # t(0.975, 2 degrees of freedom) = 4.302653, standard error = 1 / sqrt(3)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)


@pytest.mark.parametrize("method, least", [("t", 0.93), ("bootstrap", 0.80)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(method, least: float):
    rng = np.random.default_rng(3)
    count = 5 if method == "t" else 15
    found = [mean_interval(rng.normal(1.0, 2.0, count).tolist(), method) for _ in range(300)]
    covered = np.mean([f.low <= 1.0 <= f.high for f in found if f.low is not None])
    assert least < covered < 0.985


def test_values_that_were_not_measured_do_not_count():
    assert mean_interval([1.0, float("nan"), 3.0]) == mean_interval([1.0, 3.0])
    single = mean_interval([float("nan"), 4.0])
    assert (single.value, single.low, single.high, single.count) == (4.0, None, None, 1)
    assert math.isnan(mean_interval([]).value)


def test_rank_correlation_looks_at_ranks_alone():
    x = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert rank_correlation(x, [math.exp(v) for v in x], list("abcde")).value == pytest.approx(1.0)
    # 1 - 6 sum(d^2) / (n (n^2 - 1)) with d = (0, 1, -1, 0, 0)
    assert rank_correlation(x, [1.0, 3.0, 2.0, 4.0, 5.0], list("abcde")).value == pytest.approx(1 - 12 / 120)


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_with_ties_is_that_of_scipy(seed: int):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 5, 12).astype(float) for _ in range(2))
    expected = spearmanr(x, y).statistic
    assert rank_correlation(x.tolist(), y.tolist(), [str(i) for i in range(12)]).value == pytest.approx(expected)


def test_the_bootstrap_is_that_of_resampled_pairs():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=9), rng.normal(size=9)
    names = np.array(list("aaabbbccd"))
    found = rank_correlation(x.tolist(), y.tolist(), names.tolist())
    draws = []
    for _ in range(4000):
        chosen = np.concatenate([np.flatnonzero(names == rng.choice(list("abcd"))) for _ in range(4)])
        if np.ptp(x[chosen]) and np.ptp(y[chosen]):
            draws.append(spearmanr(x[chosen], y[chosen]).statistic)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.06)


def test_pairs_of_one_source_do_not_make_the_interval_narrower():
    rng = np.random.default_rng(0)
    x = rng.normal(size=8)
    y = x + rng.normal(size=8)
    names = [f"s{i}" for i in range(8)]
    plain = rank_correlation(x.tolist(), y.tolist(), names)
    copied = rank_correlation(np.tile(x, 5).tolist(), np.tile(y, 5).tolist(), names * 5)
    widths = [found.high - found.low for found in (plain, copied)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


@pytest.mark.parametrize("x, y", [([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_too_little_says_nothing(x: list[float], y: list[float]):
    found = rank_correlation(x, y, [str(i) for i in range(len(x))])
    assert math.isnan(found.value)
    assert (found.low, found.high) == (None, None)


def test_two_sources_have_no_interval_however_many_pairs_they_make_and_three_have_one():
    x = [float(value) for value in range(9)]
    y = [0.0, 2.0, 1.0, 3.0, 5.0, 4.0, 6.0, 8.0, 7.0]
    two = rank_correlation(x, y, list("aaaaabbbb"))
    assert (two.low, two.high, two.count) == (None, None, 2)
    assert two.value > 0.9
    three = rank_correlation(x, y, list("aaabbbccc"))
    assert three.count == 3
    assert three.low is not None


def test_two_values_have_an_interval_and_one_has_none():
    # t(0.975, 1 degree of freedom) = 12.7062, standard error 1 / 2 of the distance.
    found = mean_interval([1.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)
    assert str(found) == "2.000 (-10.706 to 14.706)"
    assert str(mean_interval([1.0])) == "1.000"


def test_the_bootstrap_s_seed_is_the_one_that_is_given():
    values = [0.1, 0.4, 0.2, 0.9, 0.7, 0.3]
    first, again, other = (mean_interval(values, "bootstrap", seed) for seed in (1, 1, 2))
    assert first == again != other
    rng = np.random.default_rng(0)
    x, y, names = rng.normal(size=20).tolist(), rng.normal(size=20).tolist(), [str(n) for n in range(20)]
    first, again, other = (rank_correlation(x, y, names, seed) for seed in (1, 1, 2))
    assert first == again != other
