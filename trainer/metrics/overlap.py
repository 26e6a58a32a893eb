"""Overlap of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.mask_overlap import MaskOverlap, mask_overlap, mean_defined

__all__ = ["MaskOverlap", "dice", "dice_per_label", "mask_overlap", "mean_defined"]


def dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice coefficient of two masks; NaN when both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    return mask_overlap(predicted, truth).dice


def dice_per_label(
    predicted: NDArray[np.integer], truth: NDArray[np.integer], values: tuple[int, ...]
) -> dict[int, float]:
    """Dice coefficient by label value; NaN where neither map has the label."""
    return {value: dice(predicted == value, truth == value) for value in values}
