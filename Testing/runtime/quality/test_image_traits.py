"""Figures of maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.quality.image_traits import HIGHEST_SCORE, TRAITS, image_traits

LABELS = np.zeros((3, 4, 5), np.uint8)
LABELS[1, 1:3, 1:4] = 2
NOTHING = np.zeros_like(LABELS)


def test_traits_are_means_over_the_maps_whichever_way_they_are_cut_into_slices() -> None:
    rng = np.random.default_rng(0)
    entropy, confidence = (rng.random(LABELS.shape).astype(np.float32) for _ in range(2))
    found = LABELS > 0
    traits = image_traits(LABELS, entropy, confidence, [0.9, None, 0.6], 2.0)
    assert set(traits) == set(TRAITS)
    assert traits["entropy"] == pytest.approx(entropy.mean())
    assert traits["entropy_foreground"] == pytest.approx(entropy[found].mean())
    assert traits["confidence_foreground"] == pytest.approx(confidence[found].mean())
    assert traits["entropy_per_foreground_voxel"] == pytest.approx(entropy.sum() / 6)
    assert (traits["expected_dice"], traits["expected_dice_lowest"]) == (0.75, 0.6)
    assert (traits["labels_found"], traits["log_score"]) == (2 / 3, np.log(2.0))
    turned = [np.ascontiguousarray(each.transpose(2, 0, 1)) for each in (LABELS, entropy, confidence)]
    assert image_traits(*turned, [0.9, None, 0.6], 2.0) == pytest.approx(traits)


def test_what_is_not_there_is_no_number() -> None:
    traits = image_traits(
        NOTHING, np.full(NOTHING.shape, 0.5, np.float32), np.ones(NOTHING.shape, np.float32), [None], None
    )
    assert {name for name, value in traits.items() if np.isnan(value)} == {
        "expected_dice", "expected_dice_lowest", "confidence_foreground", "entropy_foreground",
        "entropy_per_foreground_voxel", "log_score",
    }  # fmt: skip
    assert (traits["labels_found"], traits["entropy"]) == (0, 0.5)


def test_a_score_beyond_all_numbers_stays_one() -> None:
    traits = image_traits(NOTHING, NOTHING.astype(np.float32), NOTHING.astype(np.float32), [], float("inf"))
    assert traits["log_score"] == np.log(HIGHEST_SCORE)
