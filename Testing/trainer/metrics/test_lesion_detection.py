"""Lesion-wise detection against a flood fill that shares no code with it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer.metrics.lesion_detection import (
    THRESHOLDS,
    LesionCounts,
    OperatingPoint,
    attainable,
    count_at_thresholds,
    count_lesions,
    free_response,
    sensitivity_at,
    sum_counts,
)


def flood(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Components by visiting neighbours one after the other, corners included."""
    left = {tuple(int(i) for i in place) for place in np.argwhere(mask)}
    components = []
    while left:
        waiting = [left.pop()]
        component = set(waiting)
        while waiting:
            place = waiting.pop()
            near = {p for p in left if max(abs(a - b) for a, b in zip(p, place, strict=True)) == 1}
            left -= near
            component |= near
            waiting += near
        components.append(component)
    return components


def brute_force(marked: np.ndarray, truth: np.ndarray, overlap: float, purity: float) -> LesionCounts:
    lesions, candidates = flood(truth), flood(marked)

    def enough(component: set[tuple[int, ...]], other: set[tuple[int, ...]], share: float) -> bool:
        common = len(component & other)
        return common > 0 and common / len(component) >= share

    right = [candidate for candidate in candidates if enough(candidate, set().union(*lesions), purity)]
    detected = sum(enough(lesion, set().union(*right), overlap) for lesion in lesions)
    return LesionCounts(1, len(lesions), detected, len(candidates), len(right))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("purity", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_counts_are_those_of_a_flood_fill(seed: int, purity: float, overlap: float):
    rng = np.random.default_rng(seed)
    shape = (1, 14, 14) if seed % 2 else (5, 7, 8)
    truth, marked = rng.random(shape) < 0.12, rng.random(shape) < 0.12
    assert count_lesions(marked, truth, overlap, purity) == brute_force(marked, truth, overlap, purity)


def test_one_candidate_over_two_lesions_finds_both_and_is_one_right_candidate():
    truth = np.zeros((1, 5, 9), dtype=bool)
    truth[0, 2, [1, 7]] = True
    marked = np.zeros_like(truth)
    marked[0, 2, :] = True
    assert count_lesions(marked, truth) == LesionCounts(1, 2, 2, 1, 1)


def test_rates_of_known_counts():
    counts = sum_counts([LesionCounts(1, 3, 2, 4, 2), LesionCounts(1, 1, 0, 1, 0)])
    assert (counts.sensitivity, counts.precision) == (0.5, 0.4)
    assert counts.f1 == pytest.approx(2 * 0.5 * 0.4 / 0.9)
    assert counts.false_positives_per_image == 1.5


def test_what_cannot_be_measured_is_nan_and_finding_nothing_is_zero():
    empty = np.zeros((1, 4, 4), dtype=bool)
    spot = empty.copy()
    spot[0, 1, 1] = True
    nothing_there = count_lesions(spot, empty)
    assert math.isnan(nothing_there.sensitivity)
    assert math.isnan(nothing_there.f1)
    assert nothing_there.precision == 0
    missed = count_lesions(empty, spot)
    assert (missed.sensitivity, missed.f1) == (0, 0)
    assert math.isnan(missed.precision)


def test_a_lower_threshold_never_loses_a_lesion():
    rng = np.random.default_rng(1)
    probability, truth = rng.random((1, 12, 12)), rng.random((1, 12, 12)) < 0.1
    found = [count_lesions(probability >= t, truth).detected for t in THRESHOLDS]
    assert found == sorted(found, reverse=True)


def test_marking_everything_finds_every_lesion_by_the_challenges_rule_and_none_on_the_curve():
    truth = np.zeros((1, 20, 20), dtype=bool)
    truth[0, [3, 9, 15], [3, 9, 15]] = True
    everything = np.ones((1, 20, 20))
    assert count_lesions(everything > 0, truth).sensitivity == 1
    assert {c.detected for c in count_at_thresholds(everything, truth)} == {0}


def test_attainable_points_rise_and_give_the_same_sensitivities():
    rng = np.random.default_rng(4)
    points = [OperatingPoint(0.5, float(s), float(f)) for s, f in rng.random((30, 2))]
    best = attainable(points)
    assert all(a.sensitivity < b.sensitivity for a, b in itertools.pairwise(best))
    assert all(a.false_positives_per_image < b.false_positives_per_image for a, b in itertools.pairwise(best))
    for limit in (0.05, 0.2, 0.5, 1.0):
        assert sensitivity_at(best, limit) == sensitivity_at(points, limit)


def test_the_curve_of_two_images_by_hand():
    truth = np.zeros((1, 3, 9), dtype=bool)
    truth[0, 1, 1] = True
    probability = np.zeros((1, 3, 9))
    probability[0, 1, 1], probability[0, 1, 5] = 0.6, 0.8
    empty = np.zeros_like(truth)
    counts = [count_at_thresholds(probability, t, (0.5, 0.7)) for t in (truth, empty)]
    low, high = free_response(counts, (0.5, 0.7))
    assert (low.sensitivity, low.false_positives_per_image) == (1.0, 1.5)
    assert (high.sensitivity, high.false_positives_per_image) == (0.0, 1.0)
    assert [sensitivity_at([low, high], limit) for limit in (0.5, 1.0, 1.5, 9.0)] == [0.0, 0.0, 1.0, 1.0]
