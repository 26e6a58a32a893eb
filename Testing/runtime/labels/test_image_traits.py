"""Figures of maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.labels import image_traits as image_traits_module
from MultiTaskSegLib.runtime.labels.image_traits import image_traits
from MultiTaskSegLib.runtime.quality.trait_names import HIGHEST_SCORE, TRAITS

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


@pytest.mark.parametrize("slab_voxels", [1, 60, 130, 10**6])
def test_the_boundary_is_what_lies_within_two_voxels_of_a_surface_however_many_slices_are_looked_at_at_once(
    slab_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros((11, 5, 6), np.uint8)
    labels[4:7, 1:4, 2:5] = 1
    labels[9, 3, 3] = 2
    entropy = rng.random(labels.shape).astype(np.float32)
    near = np.zeros(labels.shape, bool)
    # Written independently: the voxels from which two steps along the axes lead to another label.
    for place in np.ndindex(labels.shape):
        for step in np.ndindex(5, 5, 5):
            other = np.array(place) + step - 2
            if np.abs(np.array(step) - 2).sum() <= 2 and (other >= 0).all() and (other < labels.shape).all():
                near[place] |= labels[place] != labels[tuple(other)]
    monkeypatch.setattr(image_traits_module, "SLAB_VOXELS", slab_voxels)
    confidence = np.ones(labels.shape, np.float32)
    assert 0 < near.sum() < near.size
    found = image_traits(labels, entropy, confidence, [], None)["entropy_boundary"]
    assert found == pytest.approx(entropy[near].mean(), rel=1e-6)
    # As the maps of an image that is stored the other way round lie in memory.
    turned = image_traits(labels[::-1, :, ::-1], entropy[::-1, :, ::-1], confidence, [], None)["entropy_boundary"]
    assert turned == pytest.approx(found)


def test_what_is_not_there_is_no_number() -> None:
    traits = image_traits(
        NOTHING, np.full(NOTHING.shape, 0.5, np.float32), np.ones(NOTHING.shape, np.float32), [None], None
    )
    assert {name for name, value in traits.items() if np.isnan(value)} == {
        "expected_dice", "expected_dice_lowest", "confidence_foreground", "entropy_foreground", "entropy_boundary",
        "entropy_per_foreground_voxel", "log_score",
    }  # fmt: skip
    assert (traits["labels_found"], traits["entropy"]) == (0, 0.5)


def test_a_score_beyond_all_numbers_stays_one() -> None:
    traits = image_traits(NOTHING, NOTHING.astype(np.float32), NOTHING.astype(np.float32), [], float("inf"))
    assert traits["log_score"] == np.log(HIGHEST_SCORE)
