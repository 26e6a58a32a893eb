"""The confidences that are compared: one number per image and row, higher for results that are thought to be better.

Where nothing was found every row has its lowest confidence: the Dice is 0, if the structure is there; if not, the Dice
is not defined and the image is not among those that are compared. Anybody sees an empty result, so that a row gains
nothing over others by telling it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.failure.filed_quality import FiledQuality, filed_dice
from trainer.failure.measured_image import MeasuredImage
from trainer.failure.quality_regression import forest, linear, quality_regression, simple_forest
from trainer.failure.shipped_quality import predicted_dice

Floats = NDArray[np.float64]

ENTROPIES = (
    "entropy",
    "entropy_foreground",
    "entropy_boundary",
    "entropy_non_boundary",
    "entropy_worst_patch",
)
CONFIDENCES = ("confidence_worst_patch", "confidence_foreground", "expected_dice", "expected_dice_lowest")
BASELINE = "entropy"
PAIRWISE = "pairwise_dice_"


def confidences(images: Sequence[MeasuredImage], filed: FiledQuality | None = None) -> dict[str, Floats]:
    """All rows, each ``(N,)``.

    Args:
        images: whose Dice is defined.
        filed: what the file of their model says of quality; a row of its own where it can be judged.

    Returns:
        by name; a fitted row has NaN for images of tasks with a single patient, on whom nothing could be fitted; that
        of the file has it for images of patients whom the file knows, and of tasks of which it says nothing.
    """
    rows = {name: _lowest_where_missing(-_trait(images, name)) for name in ENTROPIES}
    rows |= {name: _lowest_where_missing(_trait(images, name)) for name in CONFIDENCES}
    rows["ood_score"] = -np.array([image.score for image in images])
    flagged = np.array([image.is_ood for image in images])
    # The verdict first: all that it flags lies below all that it lets pass, and the expected Dice orders within both.
    rows["verdict_and_expected_dice"] = rows["expected_dice"] - flagged
    rows["random_forest"] = simple_forest(images)
    rows["quality_regression"] = quality_regression(images, linear)
    rows["quality_forest"] = quality_regression(images, forest)
    rows["quality_regression_faults_known"] = quality_regression(images, linear, faults_known=True)
    rows["quality_forest_faults_known"] = quality_regression(images, forest, faults_known=True)
    rows["predicted_dice"] = predicted_dice(images)
    rows["predicted_dice_faults_known"] = predicted_dice(images, faults_known=True)
    for way in dict.fromkeys(name for image in images for name in image.agreement):
        agreement = np.array([image.agreement[way] for image in images])
        rows[f"{PAIRWISE}{way}"] = _lowest_where_missing(agreement)
    nothing = _trait(images, "labels_found") == 0
    rows = {name: np.where(nothing, -np.inf, values) for name, values in rows.items()}
    # An empty result that the file is not judged on must not look like one that it is.
    if filed and (judged := filed.judged(images)).any():
        told = filed_dice(images, filed)
        rows["predicted_dice_filed"] = np.where(judged & nothing, -np.inf, told)
    return rows


def _trait(images: Sequence[MeasuredImage], name: str) -> Floats:
    return np.array([image.traits[name] for image in images], dtype=np.float64)


def _lowest_where_missing(values: Floats) -> Floats:
    return np.where(np.isnan(values), -np.inf, values)
