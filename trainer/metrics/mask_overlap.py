"""Dice and intersection over union of masks, many of which may be empty.

Two conventions exist for images without the structure, and they are not comparable: either such images are left out
(*positives only*), or they count 1 when nothing is marked and 0 otherwise (*empty rule*, as in the SIIM-ACR challenge,
where empty images are the majority). Each figure here says which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.overlap import mean_defined


@dataclass(frozen=True)
class MaskOverlap:
    """Voxels of one image.

    Attributes:
        marked, truth: in each mask.
        common: in both.
    """

    marked: int
    truth: int
    common: int

    @property
    def dice(self) -> float:
        """Dice coefficient; NaN when both masks are empty."""
        total = self.marked + self.truth
        return 2 * self.common / total if total else float("nan")

    @property
    def intersection_over_union(self) -> float:
        """Jaccard index; NaN when both masks are empty."""
        union = self.marked + self.truth - self.common
        return self.common / union if union else float("nan")


def mask_overlap(marked: NDArray[np.bool_], truth: NDArray[np.bool_]) -> MaskOverlap:
    """Compare two masks of the same shape."""
    return MaskOverlap(*(int(np.count_nonzero(mask)) for mask in (marked, truth, marked & truth)))


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
