"""Overlap of two masks: the one place where Dice is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        """Dice coefficient; NaN when both masks are empty, because then there is nothing to measure."""
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


def label_overlaps(
    marked: NDArray[np.uint8], truth: NDArray[np.uint8], values: Sequence[int]
) -> dict[int, MaskOverlap]:
    """Compare two label maps ``(Z, Y, X)``, by label value; slice by slice, because counting makes 8-byte copies."""
    in_one, in_other, in_both = (np.zeros(256, dtype=np.int64) for _ in range(3))
    for mine, its in zip(marked, truth, strict=True):
        in_one += np.bincount(mine.ravel(), minlength=256)
        in_other += np.bincount(its.ravel(), minlength=256)
        in_both += np.bincount(mine[mine == its], minlength=256)
    return {value: MaskOverlap(*(int(own[value]) for own in (in_one, in_other, in_both))) for value in values}


def mean_defined(values: Sequence[float]) -> float:
    """Mean over the values that are not NaN; NaN when there is none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
