"""Overlap of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Dice coefficient of two masks; NaN when both are empty, because then there is nothing to measure.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(truth))
    overlap = int(np.count_nonzero(predicted & truth))
    return 2 * overlap / total if total else float("nan")


def dice_per_label(
    predicted: NDArray[np.integer], truth: NDArray[np.integer], values: tuple[int, ...]
) -> dict[int, float]:
    """Dice coefficient by label value; NaN where neither map has the label."""
    return {value: dice(predicted == value, truth == value) for value in values}


def mean_defined(values: list[float]) -> float:
    """Mean over the values that are not NaN; NaN when there is none."""
    defined = [v for v in values if not np.isnan(v)]
    return float(np.mean(defined)) if defined else float("nan")
