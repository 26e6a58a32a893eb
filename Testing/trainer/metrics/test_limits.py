"""Limits of the metrics as promised, with a value on either side of each."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.metrics.lesion_detection import (
    FALSE_POSITIVES_PER_IMAGE,
    THRESHOLDS,
    OperatingPoint,
    attainable,
    count_at_thresholds,
    count_lesions,
    sensitivity_at,
)


@pytest.mark.parametrize("length, found", [(10, 1), (11, 0)])
def test_on_the_curve_a_candidate_is_right_when_a_tenth_of_it_is_lesion(length: int, found: int) -> None:
    truth = np.zeros((1, 3, 12), dtype=bool)
    truth[0, 1, 0] = True
    probability = np.zeros((1, 3, 12))
    probability[0, 1, :length] = 0.7
    (counts,) = count_at_thresholds(probability, truth, (0.5,))
    assert (counts.candidates, counts.true_candidates, counts.detected) == (1, found, found)


@pytest.mark.parametrize("marked, detected", [(4, 0), (5, 1)])
def test_a_lesion_is_found_when_the_asked_share_of_it_is_marked(marked: int, detected: int) -> None:
    truth = np.zeros((1, 3, 12), dtype=bool)
    truth[0, 1, :10] = True
    answer = np.zeros_like(truth)
    answer[0, 1, :marked] = True
    assert count_lesions(answer, truth, smallest_overlap=0.5).detected == detected


def test_lesions_that_touch_at_a_corner_are_one_and_those_a_voxel_apart_are_two() -> None:
    touching, apart = np.zeros((2, 4, 4), dtype=bool), np.zeros((2, 4, 4), dtype=bool)
    touching[0, 0, 0] = touching[1, 1, 1] = True
    apart[0, 0, 0] = apart[0, 0, 2] = True
    assert count_lesions(touching, touching).lesions == 1
    assert count_lesions(apart, apart).lesions == 2


def test_a_probability_equal_to_the_threshold_is_marked() -> None:
    truth = np.ones((1, 1, 1), dtype=bool)
    found = count_at_thresholds(np.full((1, 1, 1), 0.5), truth, (0.5, 0.5000001))
    assert [counts.detected for counts in found] == [1, 0]


def test_the_curve_is_drawn_at_thirteen_thresholds_and_read_at_six_numbers_of_false_positives() -> None:
    assert THRESHOLDS == (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
    assert FALSE_POSITIVES_PER_IMAGE == (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def test_a_point_with_more_false_positives_and_no_more_sensitivity_is_not_attainable() -> None:
    first, equal, better = (OperatingPoint(0.5, s, f) for s, f in ((0.4, 1.0), (0.4, 2.0), (0.5, 2.0)))
    assert attainable([equal, first]) == [first]
    assert attainable([equal, better, first]) == [first, better]


@pytest.mark.parametrize("limit, expected", [(0.99, 0.0), (1.0, 0.4), (2.99, 0.4), (3.0, 0.9)])
def test_the_sensitivity_at_a_number_of_false_positives_includes_that_number(limit: float, expected: float) -> None:
    points = [OperatingPoint(0.5, 0.4, 1.0), OperatingPoint(0.2, 0.9, 3.0), OperatingPoint(0.3, 0.1, 2.0)]
    assert sensitivity_at(points, limit) == expected
