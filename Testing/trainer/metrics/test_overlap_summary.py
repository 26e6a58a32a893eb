"""Dice with empty masks: two conventions, never mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.metrics.overlap import MaskOverlap, mask_overlap
from trainer.metrics.overlap_summary import summarise_overlaps


@pytest.mark.parametrize("seed", range(4))
def test_dice_and_jaccard_are_those_of_sets(seed: int):
    rng = np.random.default_rng(seed)
    marked, truth = rng.random((1, 9, 7)) < 0.3, rng.random((1, 9, 7)) < 0.3
    a, b = ({tuple(p) for p in np.argwhere(mask)} for mask in (marked, truth))
    found = mask_overlap(marked, truth)
    assert found.dice == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
    assert found.intersection_over_union == pytest.approx(len(a & b) / len(a | b))
    assert found.dice == pytest.approx(2 * found.intersection_over_union / (1 + found.intersection_over_union))


def test_the_two_conventions_on_one_hit_one_miss_one_quiet_and_one_noisy_empty_image():
    hit, miss = MaskOverlap(4, 4, 3), MaskOverlap(0, 5, 0)
    quiet, noisy = MaskOverlap(0, 0, 0), MaskOverlap(2, 0, 0)
    summary = summarise_overlaps([hit, miss, quiet, noisy])
    assert (summary.images, summary.positives) == (4, 2)
    assert summary.dice_positives_only == pytest.approx((0.75 + 0) / 2)
    assert summary.dice_empty_rule == pytest.approx((0.75 + 0 + 1 + 0) / 4)
    assert summary.iou_positives_only == pytest.approx((3 / 5 + 0) / 2)
    assert summary.empty_kept_empty == 0.5


def test_marking_nothing_looks_good_under_the_empty_rule_only():
    summary = summarise_overlaps([MaskOverlap(0, 0, 0)] * 8 + [MaskOverlap(0, 9, 0)] * 2)
    assert summary.dice_empty_rule == pytest.approx(0.8)
    assert summary.dice_positives_only == 0


def test_without_positives_there_is_no_positives_only_figure():
    summary = summarise_overlaps([MaskOverlap(0, 0, 0)])
    assert math.isnan(summary.dice_positives_only)
    assert math.isnan(summary.iou_positives_only)
    assert summary.dice_empty_rule == 1
    assert math.isnan(summarise_overlaps([MaskOverlap(1, 1, 1)]).empty_kept_empty)
