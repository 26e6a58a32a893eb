"""The published rule of the learning rate on a made-up history of validations."""

from __future__ import annotations

import pytest

from trainer.paper_network.learning_rate import LearningRate


def test_the_rate_falls_by_a_tenth_after_each_validation_below_995_thousandths_of_the_one_before() -> None:
    rule = LearningRate(1e-4, 0.9, 0.995)
    history = [0.50, 0.80, 0.797, 0.792, 0.792, 0.70, 0.699, 0.60]
    rates = []
    for dice in history:
        rule.validated(dice)
        rates.append(rule.rate)
    # 0.797 > 0.995 * 0.80 = 0.796; 0.792 < 0.995 * 0.797 = 0.793; 0.70 falls; 0.699 > 0.6965; 0.60 falls.
    assert rates == pytest.approx([1e-4, 1e-4, 1e-4, 0.9e-4, 0.9e-4, 0.81e-4, 0.81e-4, 0.729e-4])


def test_it_compares_with_the_validation_before_and_not_with_the_best() -> None:
    rule = LearningRate(1.0, 0.5, 0.995)
    for dice in (0.9, 0.5, 0.6):
        rule.validated(dice)
    assert rule.rate == 0.5


def test_a_validation_that_could_not_measure_does_not_hide_what_the_one_before_it_was() -> None:
    rule = LearningRate(1.0, 0.5, 0.995)
    for dice in (0.8, float("nan"), 0.4):
        rule.validated(dice)
    assert rule.rate == 0.5
