"""Figures of maps whose answer is known, and patches counted one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from MultiTaskSegLib.runtime.labels.labelling import Labelling
from trainer.failure.image_traits import image_traits, label_volumes_ml, patch_means

SHAPE = (12, 16, 16)


def maps(labels: np.ndarray, uncertainty: np.ndarray, expected: dict[int, float | None]) -> Labelling:
    return Labelling(labels, uncertainty.astype(np.float32), (1 - uncertainty).astype(np.float32), expected)


def box() -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[3:9, 4:12, 4:12] = 3
    return labels


@pytest.mark.parametrize("shape", [(1, 13, 11), (12, 10, 4), (3, 2, 25)])
def test_patches_are_all_that_lie_wholly_inside(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).random(shape)
    sizes = [min(10, n) for n in shape]
    starts = product(*(range(n - size + 1) for n, size in zip(shape, sizes, strict=True)))
    by_hand = [
        values[tuple(slice(at, at + size) for at, size in zip(start, sizes, strict=True))].mean() for start in starts
    ]
    np.testing.assert_allclose(patch_means(values).ravel(), by_hand, rtol=1e-9)


def test_an_uncertainty_that_is_the_same_everywhere_is_so_in_every_region() -> None:
    traits = image_traits(maps(box(), np.full(SHAPE, 0.25), {3: 0.8, 5: None}))
    regions = [name for name in traits if name.startswith("entropy") and "share" not in name and "per" not in name]
    assert len(regions) == 6
    assert [traits[name] for name in regions] == pytest.approx([0.25] * 6)
    assert traits["confidence_foreground"] == traits["confidence_worst_patch"] == pytest.approx(0.75)
    assert traits["foreground_share"] == pytest.approx(6 * 8 * 8 / np.prod(SHAPE))
    assert traits["entropy_per_foreground_voxel"] == pytest.approx(0.25 * np.prod(SHAPE) / (6 * 8 * 8))
    assert traits["expected_dice"] == traits["expected_dice_lowest"] == 0.8
    assert (traits["labels_found"], traits["pieces"], traits["share_outside_largest_piece"]) == (0.5, 1, 0)


def test_uncertainty_deep_inside_is_seen_there_and_not_at_the_boundary() -> None:
    uncertainty = np.zeros(SHAPE)
    uncertainty[5:7, 7:9, 7:9] = 1.0
    traits = image_traits(maps(box(), uncertainty, {3: 0.9}))
    assert traits["entropy_boundary"] == traits["entropy_background"] == 0
    assert traits["entropy_share_off_boundary"] == 1
    assert traits["entropy_foreground"] == pytest.approx(8 / 384)
    assert traits["entropy_worst_patch"] == pytest.approx(8 / 1000)


def test_where_nothing_is_found_there_is_nothing_to_measure() -> None:
    traits = image_traits(maps(np.zeros(SHAPE, dtype=np.uint8), np.full(SHAPE, 0.1), {3: None}))
    missing = {name for name, value in traits.items() if np.isnan(value)}
    assert missing == {
        "entropy_foreground", "entropy_boundary", "confidence_foreground", "expected_dice", "expected_dice_lowest",
        "share_outside_largest_piece", "entropy_per_foreground_voxel",
    }  # fmt: skip
    assert (traits["pieces"], traits["labels_found"]) == (0, 0)


def test_volumes_count_the_voxels_of_each_label() -> None:
    assert label_volumes_ml(maps(box(), np.zeros(SHAPE), {3: 0.9, 5: None}), 0.5) == {3: 192.0, 5: 0.0}


def test_a_second_piece_counts_with_its_share() -> None:
    labels = box()
    labels[0, 0, :6] = 3
    traits = image_traits(maps(labels, np.zeros(SHAPE), {3: 0.9}))
    assert traits["pieces"] == 2
    assert traits["share_outside_largest_piece"] == pytest.approx(6 / 390)
