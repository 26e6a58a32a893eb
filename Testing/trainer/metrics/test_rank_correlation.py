"""Rank correlation agrees with ranks counted by hand, and its interval counts clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from scipy.stats import t as student_t

from trainer.metrics.rank_correlation import rank_correlation


def test_rank_correlation_looks_at_ranks_alone() -> None:
    x = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert rank_correlation(x, [math.exp(v) for v in x], list("abcde")).value == pytest.approx(1.0)
    # 1 - 6 sum(d^2) / (n (n^2 - 1)) with d = (0, 1, -1, 0, 0)
    assert rank_correlation(x, [1.0, 3.0, 2.0, 4.0, 5.0], list("abcde")).value == pytest.approx(1 - 12 / 120)


def test_the_interval_is_that_of_resampled_clusters() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=14), rng.normal(size=14)
    names = np.array(list("aaabbbccdefghi"))
    found = rank_correlation(x.tolist(), y.tolist(), names.tolist())
    members = [np.flatnonzero(names == name) for name in "abcdefghi"]
    drawn = []
    for _ in range(1500):
        chosen = np.concatenate([members[k] for k in rng.integers(9, size=9)])
        drawn.append(np.corrcoef(rankdata(x[chosen]), rankdata(y[chosen]))[0, 1])
    tail = norm.sf(np.sqrt(9 / 8) * student_t.isf(0.025, 8))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [tail, 1 - tail])), abs=0.06)


def test_pairs_of_one_source_do_not_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=8)
    y = x + rng.normal(size=8)
    names = [f"s{i}" for i in range(8)]
    plain = rank_correlation(x.tolist(), y.tolist(), names)
    copied = rank_correlation(np.tile(x, 5).tolist(), np.tile(y, 5).tolist(), names * 5)
    assert plain.low is not None
    assert copied.low == pytest.approx(plain.low, abs=0.1)
    assert copied.high == pytest.approx(plain.high, abs=0.1)


@pytest.mark.parametrize("x, y", [([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_too_little_says_nothing(x: list[float], y: list[float]) -> None:
    found = rank_correlation(x, y, [str(i) for i in range(len(x))])
    assert math.isnan(found.value)
    assert (found.low, found.high) == (None, None)


def test_two_sources_have_no_interval_however_many_pairs_they_make_and_three_have_one() -> None:
    x = [float(value) for value in range(9)]
    y = [0.0, 2.0, 1.0, 3.0, 5.0, 4.0, 6.0, 8.0, 7.0]
    two = rank_correlation(x, y, list("aaaaabbbb"))
    assert (two.low, two.high, two.count) == (None, None, 2)
    assert two.value > 0.9
    three = rank_correlation(x, y, list("aaabbbccc"))
    assert three.count == 3
    assert three.low is not None


def test_the_seed_is_the_one_that_is_given() -> None:
    rng = np.random.default_rng(0)
    x, y, names = rng.normal(size=20).tolist(), rng.normal(size=20).tolist(), [str(n) for n in range(20)]
    first, again, other = (rank_correlation(x, y, names, seed) for seed in (1, 1, 2))
    assert first == again != other
