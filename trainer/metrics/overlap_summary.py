"""Dice and intersection over union of masks, many of which may be empty.

Two conventions exist for images without the structure, and they are not comparable: either such images are left out
(*positives only*), or they count 1 when nothing is marked and 0 otherwise (*empty rule*, as in the SIIM-ACR challenge,
where empty images are the majority). Each figure here says which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.metrics.overlap import MaskOverlap, mean_defined


@dataclass(frozen=True)
class OverlapSummary:
    """Means over images.

    Attributes:
        images: all.
        positives: those that have the structure.
        dice_positives_only: mean Dice over the positives; NaN without any.
        dice_empty_rule: mean over all images, where an image without the structure counts 1 when nothing is marked and
            0 otherwise.
        iou_positives_only: mean intersection over union over the positives.
        empty_kept_empty: share of the images without the structure in which nothing is marked; NaN without any.
    """

    images: int
    positives: int
    dice_positives_only: float
    dice_empty_rule: float
    iou_positives_only: float
    empty_kept_empty: float


def summarise_overlaps(overlaps: Sequence[MaskOverlap]) -> OverlapSummary:
    """Summarise one label over images."""
    positives = [o for o in overlaps if o.truth]
    kept = [float(o.marked == 0) for o in overlaps if not o.truth]
    dice = [o.dice for o in positives]
    return OverlapSummary(
        len(overlaps),
        len(positives),
        mean_defined(dice),
        mean_defined(dice + kept),
        mean_defined([o.intersection_over_union for o in positives]),
        mean_defined(kept),
    )
