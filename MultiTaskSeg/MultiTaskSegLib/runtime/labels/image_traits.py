"""What the maps of one segmentation say about the whole image, in a few numbers: no second pass, no further map."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.surface_band import BAND_VOXELS, near_surface
from MultiTaskSegLib.runtime.quality.trait_names import HIGHEST_SCORE, LOWEST_SCORE, Traits

SLAB_VOXELS = 2_000_000
"""About as many are looked at at once for the boundary."""


def image_traits(
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.float32],
    confidence: NDArray[np.float32],
    expected_dice: Collection[float | None],
    score: float | None,
) -> Traits:
    """Figures of an image from its maps ``(Z, Y, X)``, slice by slice, so that large images need no more memory.

    The boundary is what lies within two voxels of a predicted surface: the entropy there tells faults that leave the
    inside sure of itself.

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
        "entropy_boundary": _mean_at_boundary(labels, uncertainty),
        "entropy_per_foreground_voxel": _ratio(entropy, voxels),
        "log_score": float("nan") if score is None else float(np.log(np.clip(score, LOWEST_SCORE, HIGHEST_SCORE))),
    }


def _mean_at_boundary(labels: NDArray[np.uint8], uncertainty: NDArray[np.float32]) -> float:
    """NaN where there is no surface."""
    voxels, total, depth = 0, 0.0, len(labels)
    thickness = max(1, SLAB_VOXELS // max(1, labels[0].size)) if depth else 1
    for first in range(0, depth, thickness):
        after, above = min(depth, first + thickness), max(0, first - BAND_VOXELS)
        slab = np.ascontiguousarray(labels[above : after + BAND_VOXELS])
        near = near_surface(slab)[first - above : after - above]
        voxels += int(np.count_nonzero(near))
        total += float(uncertainty[first:after][near].sum(dtype=np.float64))
    return _ratio(total, voxels)


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
