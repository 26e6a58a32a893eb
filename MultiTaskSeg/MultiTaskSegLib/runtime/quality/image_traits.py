"""What the maps of one segmentation say about the whole image, in a few numbers: no second pass, no further map."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

Traits = dict[str, float]
"""Figures of an image by name; NaN where there is nothing to measure, as the entropy of a structure that was not
found."""

TRAITS = (
    "expected_dice",
    "expected_dice_lowest",
    "labels_found",
    "confidence_foreground",
    "entropy",
    "entropy_foreground",
    "entropy_per_foreground_voxel",
    "log_score",
)
"""What a quality estimate of a model file may rest on."""

LOWEST_SCORE, HIGHEST_SCORE = 1e-3, 1e6
"""Beyond these a score of the check says no more."""


def image_traits(
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.float32],
    confidence: NDArray[np.float32],
    expected_dice: Collection[float | None],
    score: float | None,
) -> Traits:
    """Figures of an image from its maps ``(Z, Y, X)``, slice by slice, so that large images need no more memory.

    Args:
        labels: values, 0 is background.
        uncertainty: entropy of the calibrated probabilities, 0 to 1.
        confidence: probability of the chosen label.
        expected_dice: of every structure, see `MultiTaskSegLib.runtime.labels.expected_dice`; None of those that were
            not found.
        score: of the out-of-distribution check; None where nothing was checked.

    Returns:
        by the names of `TRAITS`.
    """
    voxels, entropy, entropy_inside, sure = 0, 0.0, 0.0, 0.0
    for plane, doubt, trust in zip(labels, uncertainty, confidence, strict=True):
        found = plane > 0
        voxels += int(np.count_nonzero(found))
        entropy += float(doubt.sum(dtype=np.float64))
        entropy_inside += float(doubt[found].sum(dtype=np.float64))
        sure += float(trust[found].sum(dtype=np.float64))
    dice = [value for value in expected_dice if value is not None]
    return {
        "expected_dice": float(np.mean(dice)) if dice else float("nan"),
        "expected_dice_lowest": min(dice, default=float("nan")),
        "labels_found": len(dice) / max(1, len(expected_dice)),
        "confidence_foreground": _ratio(sure, voxels),
        "entropy": _ratio(entropy, labels.size),
        "entropy_foreground": _ratio(entropy_inside, voxels),
        "entropy_per_foreground_voxel": _ratio(entropy, voxels),
        "log_score": float("nan") if score is None else float(np.log(np.clip(score, LOWEST_SCORE, HIGHEST_SCORE))),
    }


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
