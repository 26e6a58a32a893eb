"""The benchmark's measures against counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from trainer.metrics.interval import PatientDraws, drawn_interval
from trainer.ood.separation import (
    Patients,
    auroc,
    false_positive_rate,
    mean_auroc,
    mean_auroc_interval,
    mean_auroc_rounds,
    patients_of,
)


def interval_of(
    known: Patients, sources: list[Patients], rng: np.random.Generator, rounds: int = 500
) -> tuple[float, float]:
    draws = PatientDraws(patients_of([known, *sources]), rng, rounds)
    value = mean_auroc(known, sources)
    found = mean_auroc_interval(mean_auroc_rounds(known, sources, draws), value, known, sources)
    assert found is not None
    return found


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


def test_the_interval_is_that_of_drawing_all_patients_together_one_by_one() -> None:
    rng = np.random.default_rng(2)
    known = {f"p{n}": rng.normal(0, 1, 1 + n % 3).round(1).tolist() for n in range(20)}
    # The first ten are spoilt as well, in two ways.
    sources = [{f"p{n}": rng.normal(1, 1, 1 + n % 2).round(1).tolist() for n in range(10)} for _ in range(2)]
    names = sorted(known)

    def drawn(groups: Patients, chosen: list[str]) -> dict[str, list[float]]:
        return {str(n): list(groups[name]) for n, name in enumerate(chosen) if name in groups}

    values = []
    for _ in range(1500):
        chosen = [names[i] for i in rng.integers(len(names), size=len(names))]
        values.append(mean_auroc(drawn(known, chosen), [drawn(source, chosen) for source in sources]))
    expected = drawn_interval(np.array(values), 10)
    found = interval_of(known, sources, np.random.default_rng(3), rounds=3000)
    assert expected is not None
    np.testing.assert_allclose(found, expected, atol=0.025)


def test_a_source_of_which_nobody_is_drawn_is_left_out_of_the_round() -> None:
    known = {f"k{n}": [float(n)] for n in range(8)}
    sources = [{"a": [3.5]}, {"b": [7.5]}]
    rounds = mean_auroc_rounds(known, sources, PatientDraws([*known, "a", "b"], np.random.default_rng(0), 400))
    assert 0.07 < np.isnan(rounds).mean() < 0.15  # neither is drawn: 0.8 to the power of 10
    assert np.nanmax(rounds) == 1.0


@pytest.mark.parametrize("known, sources, pairs", [(5, [3], 3), (2, [40], 2), (20, [4, 4], 8), (20, [1, 4], 3.2)])
def test_perfect_separation_of_few_patients_is_no_certainty(known: int, sources: list[int], pairs: float) -> None:
    inside = {f"k{n}": [0.0, 0.1] for n in range(known)}
    foreign = [{f"s{number}-{n}": [1.0] * 3 for n in range(size)} for number, size in enumerate(sources)]
    low, high = interval_of(inside, foreign, np.random.default_rng(0))
    assert high == 1.0
    # As many disjoint pairs were all won; a source of one patient is half of the mean and so weighs four pairs' worth.
    assert low == pytest.approx(0.025 ** (1 / pairs))


def test_kinds_of_the_same_patients_are_no_further_evidence_of_perfect_separation() -> None:
    known = {f"k{n}": [0.0] for n in range(30)}
    kinds = [{f"p{n}": [1.0] for n in range(6)} for _ in range(14)]
    low, _ = interval_of(known, kinds, np.random.default_rng(0))
    assert low == pytest.approx(0.025 ** (1 / 6))
