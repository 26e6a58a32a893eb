"""Closed forms, and a reference that puts images in every order that ties allow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from trainer.failure.failure_flag import failure_auroc
from trainer.failure.risk_coverage import (
    area_under_risk_coverage,
    excess_area,
    generalised_area,
    normalised_area,
    optimal_area,
    risk_coverage_curve,
)

FEW = settings(max_examples=25, deadline=None)
FIGURES = (area_under_risk_coverage, excess_area, normalised_area, generalised_area)
few = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=5)
many = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=2, max_size=30)


def once(size: int) -> np.ndarray:
    return np.ones((1, size))


def sides(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, risk = np.array(pairs, dtype=np.float64).T
    return confidence, risk / 20


def orders(confidence: list[float]) -> Iterator[list[int]]:
    """Every order of the images with falling confidence."""
    ties = [[i for i, c in enumerate(confidence) if c == value] for value in sorted(set(confidence), reverse=True)]
    for parts in product(*(permutations(tie) for tie in ties)):
        yield [index for part in parts for index in part]


def by_hand(confidence: list[float], risk: list[float]) -> tuple[float, float]:
    """AURC and AUGRC as mean over all orders of a sum over single images."""
    areas, n = [], len(risk)
    for order in orders(confidence):
        kept = [risk[i] for i in order]
        selective = [sum(kept[:k]) / k for k in range(1, n + 1)]
        undetected = [sum(kept[:k]) / n for k in range(n + 1)]
        points = [selective[0], *selective]
        areas.append([sum((a + b) / 2 for a, b in pairwise(values)) / n for values in (points, undetected)])
    first, second = np.mean(areas, axis=0)
    return float(first), float(second)


@FEW
@given(few)
def test_areas_are_the_means_over_all_orders_of_images_that_are_tied(pairs: list[tuple[int, int]]) -> None:
    confidence, risk = sides(pairs)
    aurc, augrc = by_hand(confidence.tolist(), risk.tolist())
    assert area_under_risk_coverage(confidence, risk, once(len(risk)))[0] == pytest.approx(aurc, abs=1e-12)
    assert generalised_area(confidence, risk, once(len(risk)))[0] == pytest.approx(augrc, abs=1e-12)


def test_of_equal_risks_every_order_is_as_good_and_none_can_be_told_from_chance() -> None:
    confidence, risk = np.array([0.1, 0.9, 0.5, 0.5]), np.full(4, 0.3)
    assert area_under_risk_coverage(confidence, risk, once(4))[0] == pytest.approx(0.3)
    assert excess_area(confidence, risk, once(4))[0] == pytest.approx(0.0, abs=1e-12)
    assert generalised_area(confidence, risk, once(4))[0] == pytest.approx(0.15)
    assert np.isnan(normalised_area(confidence, risk, once(4))[0])


def test_the_best_order_has_no_excess_and_its_reverse_is_the_worst() -> None:
    risk = np.array([0.0, 0.1, 0.4, 0.8])
    best, worst = -risk, risk
    assert excess_area(best, risk, once(4))[0] == 0
    assert normalised_area(best, risk, once(4))[0] == pytest.approx(1)
    assert normalised_area(worst, risk, once(4))[0] < 0
    for other in permutations([0.0, 1.0, 2.0, 3.0]):
        value = area_under_risk_coverage(np.array(other), risk, once(4))[0]
        assert optimal_area(risk, once(4))[0] <= value <= area_under_risk_coverage(worst, risk, once(4))[0]


def test_two_images_by_hand() -> None:
    confidence, risk = np.array([1.0, 0.0]), np.array([0.2, 0.6])
    # R is 0.2 up to half of the images, then rises to 0.4; G rises to 0.1, then to 0.4.
    assert area_under_risk_coverage(confidence, risk, once(2))[0] == pytest.approx(0.1 + 0.15)
    assert generalised_area(confidence, risk, once(2))[0] == pytest.approx(0.025 + 0.125)


def test_of_one_image_the_area_is_its_risk() -> None:
    confidence, risk = np.array([0.7]), np.array([0.25])
    assert area_under_risk_coverage(confidence, risk, once(1))[0] == pytest.approx(0.25)
    assert excess_area(confidence, risk, once(1))[0] == 0
    assert generalised_area(confidence, risk, once(1))[0] == pytest.approx(0.125)


@FEW
@given(many)
def test_a_confidence_that_is_the_same_for_all_has_the_mean_risk(pairs: list[tuple[int, int]]) -> None:
    _, risk = sides(pairs)
    same = np.zeros(len(risk))
    assert area_under_risk_coverage(same, risk, once(len(risk)))[0] == pytest.approx(risk.mean(), abs=1e-12)
    assert generalised_area(same, risk, once(len(risk)))[0] == pytest.approx(risk.mean() / 2, abs=1e-12)
    if np.ptp(risk) > 0:
        assert normalised_area(same, risk, once(len(risk)))[0] == pytest.approx(0, abs=1e-9)


@FEW
@given(many, st.randoms(use_true_random=False))
def test_the_order_in_which_images_are_listed_does_not_count(pairs: list[tuple[int, int]], chance: object) -> None:
    shuffled = list(pairs)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for figure in FIGURES:
        values = [figure(*sides(listed), once(len(pairs)))[0] for listed in (pairs, shuffled)]
        assert values[0] == pytest.approx(values[1], abs=1e-12, nan_ok=True)


@FEW
@given(many)
def test_only_the_order_of_the_confidence_counts(pairs: list[tuple[int, int]]) -> None:
    confidence, risk = sides(pairs)
    for figure in FIGURES:
        plain, bent = (figure(c, risk, once(len(risk)))[0] for c in (confidence, np.exp(confidence / 3) - 7))
        assert plain == pytest.approx(bent, abs=1e-12, nan_ok=True)


@FEW
@given(many, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_an_image_that_counts_several_times_is_as_several_images(
    pairs: list[tuple[int, int]], counts: list[int]
) -> None:
    confidence, risk = sides(pairs)
    times = np.array(counts[: len(risk)])
    repeated = np.repeat(confidence, times), np.repeat(risk, times)
    for figure in FIGURES:
        (value,) = figure(confidence, risk, times[None].astype(np.float64))
        if times.sum():
            expected = figure(*repeated, once(int(times.sum())))[0]
            assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)
        else:
            assert np.isnan(value)


@FEW
@given(many)
def test_of_failures_that_are_all_or_nothing_the_generalised_area_follows_from_the_auroc(
    pairs: list[tuple[int, int]],
) -> None:
    confidence, risk = sides(pairs)
    failed = risk > np.median(risk)
    share = failed.mean()
    area = generalised_area(confidence, failed.astype(np.float64), once(len(risk)))[0]
    if 0 < share < 1:
        # Traub et al. 2024, equation 8.
        auroc = failure_auroc(confidence, failed, once(len(risk)))[0]
        assert area == pytest.approx((1 - auroc) * share * (1 - share) + share**2 / 2, abs=1e-12)


@FEW
@given(many)
def test_the_curve_has_the_area_under_it(pairs: list[tuple[int, int]]) -> None:
    confidence, risk = sides(pairs)
    coverage, selective = risk_coverage_curve(confidence, risk)
    assert coverage[-1] == 1
    assert selective[-1] == pytest.approx(risk.mean())
    area = trapezoid([selective[0], *selective], [0.0, *coverage])
    assert area == pytest.approx(area_under_risk_coverage(confidence, risk, once(len(risk)))[0], abs=1e-12)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(("confidence", "risk"), [([np.nan, 1.0], [0.1, 0.2]), ([0.0, 1.0], [np.nan, 0.2]), ([], [])])
def test_what_is_no_number_is_refused(figure: object, confidence: list[float], risk: list[float]) -> None:
    with pytest.raises(ValueError, match=r"must be numbers|no image"):
        figure(np.array(confidence), np.array(risk), once(len(risk)))  # type: ignore[operator]
