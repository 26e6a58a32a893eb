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


def mean_defined(values: Sequence[float]) -> float:
    """Mean over the values that are not NaN; NaN when there is none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
