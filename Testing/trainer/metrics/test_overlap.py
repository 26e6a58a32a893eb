"""Overlap of masks."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.metrics.overlap import dice, dice_per_label, mean_defined


def test_two_empty_masks_have_no_dice() -> None:
    assert np.isnan(dice(np.zeros(4, bool), np.zeros(4, bool)))


@pytest.mark.parametrize(
    "predicted, truth, expected",
    [("1100", "1100", 1.0), ("1100", "0011", 0.0), ("1110", "0111", 2 / 3), ("0000", "1000", 0.0), ("1", "1", 1.0)],
)
def test_dice_is_twice_the_overlap_over_both_sizes(predicted: str, truth: str, expected: float) -> None:
    a, b = (np.array([c == "1" for c in text]) for text in (predicted, truth))
    assert dice(a, b) == dice(b, a) == pytest.approx(expected)


def test_each_label_has_its_own_dice() -> None:
    predicted, truth = np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2])
    found = dice_per_label(predicted, truth, (1, 2, 3))
    assert found[1] == pytest.approx(2 / 3)
    assert found[2] == pytest.approx(4 / 5)
    assert np.isnan(found[3])


def test_the_mean_leaves_out_what_is_not_defined() -> None:
    assert mean_defined([1.0, float("nan"), 0.5]) == 0.75
    assert np.isnan(mean_defined([float("nan")]))
    assert np.isnan(mean_defined([]))
