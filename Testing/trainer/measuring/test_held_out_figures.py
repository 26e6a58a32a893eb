"""Figures of held-out cases whose answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.connected_component import most_probable_component
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.measuring.held_out_figures import HeldOutFigures, HeldOutMeasurement
from trainer.metrics.overlap import dice

WHOLE = np.zeros((1, 6, 9), dtype=np.uint8)
WHOLE[0, 2:4, 2:5] = 1
SPLIT = WHOLE.copy()
SPLIT[0, 0, 8] = 1


def case(labels: NDArray[np.uint8], answer: NDArray[np.uint8] | None = None, group: str = "g") -> HeldOutCase:
    """Sure of the answer, which is right unless another one is given."""
    said = labels if answer is None else answer
    return HeldOutCase(group, np.stack([4.0 * (said == value) for value in range(3)]).astype(np.float32), labels)


def measured(cases: list[HeldOutCase], single: bool = False) -> HeldOutFigures:
    measurement = HeldOutMeasurement(("part", "rest"), 0, single)
    for one in cases:
        measurement.add(one)
    return measurement.figures()


def test_dice_is_measured_with_the_largest_piece_where_a_task_has_one_piece_and_with_all_where_not() -> None:
    cases = [case(WHOLE, SPLIT, "a"), case(WHOLE, SPLIT, "b")]
    assert measured(cases, single=True).dice == {"part": 1.0}
    assert measured(cases, single=False).dice == pytest.approx({"part": 2 * 6 / (6 + 7)})
    assert measured(cases, single=True).single_component


def test_pieces_are_weighed_by_the_probabilities_under_the_temperatures_that_ship() -> None:
    """As the whole maps would be, which are no longer there when the temperatures are known."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(4):
        truth = np.zeros((1, 30, 40), dtype=np.uint8)
        truth[0, 5:12, 5:20] = 1
        truth[0, 20:25, 25:35] = 1
        logits = 3 * rng.normal(size=(3, *truth.shape)) + 9 * np.stack([truth == v for v in range(3)])
        cases.append(HeldOutCase(f"p{number}", logits.astype(np.float32), truth))
    calibration = TaskCalibration(0)
    for one in cases:
        calibration.add(one)
    scores = []
    for one in cases:
        predicted = one.logits.argmax(axis=0)
        foreground = 1 - calibration.scaling().probabilities(one.logits)[0]
        kept = most_probable_component(predicted > 0, foreground)
        scores.append(dice((predicted == 1) & kept, one.labels == 1))
    found = measured(cases, single=True)
    assert found.dice["part"] == pytest.approx(float(np.mean(scores)))
    assert found.dice["part"] < 0.99 * measured(cases).dice["part"]
    assert found.temperature == pytest.approx(calibration.scaling().temperature)


def test_a_label_that_no_held_out_case_shows_has_no_dice() -> None:
    other = np.where(WHOLE == 1, 2, 0).astype(np.uint8)
    assert set(measured([case(WHOLE, group="a"), case(WHOLE, group="b")]).dice) == {"part"}
    assert measured([case(WHOLE, group="a"), case(other, group="b")]).dice == {"part": 1.0, "rest": 1.0}


def test_a_task_without_labels_is_not_measured() -> None:
    found = HeldOutMeasurement((), 0).figures()
    assert (found.temperature, found.dice, found.calibration) == (1.0, {}, {})
