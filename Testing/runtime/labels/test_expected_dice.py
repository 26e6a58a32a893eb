"""The expected Dice coefficient against label maps that are drawn from the probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_mean_dice_of_label_maps_drawn_from_the_probabilities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 0.7, 4000)
    mask = probability > 0.5
    truths = rng.random((400, probability.size)) < probability
    drawn = 2 * (truths & mask).sum(axis=1) / (truths.sum(axis=1) + mask.sum())
    found = expected_dice(float(probability[mask].sum()), float(probability.sum()), int(mask.sum()))
    assert found == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(len(drawn)) + 1e-4)


def test_a_certain_segment_has_1_and_an_impossible_one_0() -> None:
    assert expected_dice(7.0, 7.0, 7) == 1.0
    assert expected_dice(0.0, 0.0, 7) == 0.0


def test_nothing_is_said_about_an_empty_segment() -> None:
    assert expected_dice(0.0, 0.0, 0) is None
    assert expected_dice(0.0, 12.0, 0) is None


def test_rounding_never_leaves_the_range() -> None:
    assert expected_dice(7.0000001, 7.0, 7) == 1.0
    assert expected_dice(-1e-9, 1.0, 7) == 0.0


def test_probability_outside_the_segment_lowers_it() -> None:
    alone, with_more = expected_dice(5.0, 5.0, 6), expected_dice(5.0, 9.0, 6)
    assert alone is not None
    assert with_more is not None
    assert with_more < alone
