"""The benchmark's measures against counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from trainer.metrics.bootstrap import percentile_interval
from trainer.ood.separation import Groups, auroc, false_positive_rate, mean_auroc, mean_auroc_rounds, mean_interval


def interval_of(
    known: Groups, sources: list[Groups], rng: np.random.Generator, rounds: int = 500
) -> tuple[float, float]:
    return percentile_interval(mean_auroc_rounds(known, sources, rng, rounds))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, foreign = rng.integers(0, 8, 17).tolist(), rng.integers(3, 11, 13).tolist()
    counted = np.mean([1.0 if f > k else 0.5 if f == k else 0.0 for k, f in product(known, foreign)])
    assert auroc(known, foreign) == pytest.approx(counted)
    assert auroc(foreign, known) == pytest.approx(1 - counted)


def test_perfect_separation_is_1_and_none_is_a_half() -> None:
    assert auroc([1, 2], [3, 4]) == 1.0
    assert auroc([3, 4], [1, 2]) == 0.0
    assert auroc([5, 5, 5], [5, 5]) == 0.5


def test_the_false_positive_rate_counts_foreign_images_below_the_limit_that_keeps_95_of_100_known_ones() -> None:
    known = list(range(101))  # the 95 % quantile is 95
    assert false_positive_rate(known, [0, 95, 96, 200]) == pytest.approx(0.5)
    assert false_positive_rate(known, [0, 50, 51, 200], kept=0.5) == pytest.approx(0.5)


def test_every_source_counts_once_whatever_its_number_of_images() -> None:
    known = {"p": [1.0, 3.0]}
    sources = [{"x": [2.0]}, {f"y{n}": [4.0] for n in range(50)}]
    assert mean_auroc(known, sources) == pytest.approx((0.5 + 1.0) / 2)


def test_the_interval_holds_the_value_and_resamples_groups_not_images() -> None:
    rng = np.random.default_rng(1)
    single = {f"p{n}": [float(v)] for n, v in enumerate(rng.normal(0, 1, 30))}
    foreign = [{f"f{n}": [float(v)] for n, v in enumerate(rng.normal(1, 1, 30))}]
    low, high = interval_of(single, foreign, np.random.default_rng(0))
    assert 0 < low < mean_auroc(single, foreign) < high < 1
    # The same patient ten times over is no more evidence than once.
    repeated = {name: values * 10 for name, values in single.items()}
    assert interval_of(repeated, foreign, np.random.default_rng(0)) == pytest.approx((low, high))


def test_the_interval_is_that_of_resampling_the_images_one_by_one() -> None:
    rng = np.random.default_rng(2)
    known = {f"p{n}": rng.normal(0, 1, 1 + n % 3).round(1).tolist() for n in range(20)}
    sources = [{f"f{n}": rng.normal(1, 1, 1 + n % 2).round(1).tolist() for n in range(12)} for _ in range(2)]

    def resampled(groups: dict[str, list[float]]) -> dict[str, list[float]]:
        names = list(groups)
        return {str(n): groups[names[i]] for n, i in enumerate(rng.integers(len(names), size=len(names)))}

    values = [mean_auroc(resampled(known), [resampled(s) for s in sources]) for _ in range(2000)]
    expected = np.percentile(values, [2.5, 97.5])
    found = interval_of(known, sources, np.random.default_rng(3), rounds=2000)
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_the_interval_of_a_mean_resamples_whole_groups() -> None:
    # Two groups, one always found, one never: a round draws 0, 1 or 2 of the first with chances 1/4, 1/2, 1/4, and the
    # mean is then 0, 3/4 (three images against one) or 1.
    groups = {"a": [1.0, 1.0, 1.0], "b": [0.0]}
    assert mean_interval(groups, np.random.default_rng(0)) == (0.0, 1.0)
    assert mean_interval({"a": [1.0, 0.0], "b": [0.0, 1.0]}, np.random.default_rng(0)) == (0.5, 0.5)
