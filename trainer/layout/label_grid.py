"""Does a label map lie on its image's grid, and hold only values that the dataset declares?"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.label_turn import label_turn

SPACING_TOLERANCE = 1e-3
"""Largest difference of spacings, as a share of the image's, that is still the same grid."""

DIRECTION_TOLERANCE = 1e-3
"""Largest difference of direction cosines that is still the same grid."""

ORIGIN_TOLERANCE = 0.05
"""Largest distance of origins, in voxels, that is still the same grid."""

_MOST_NAMED = 8


def grid_differences(
    volume: Volume, labels: NDArray[np.generic], ijk_to_lps: NDArray[np.float64], what: str = "the label map"
) -> list[str]:
    """In what respects a label map (or another channel) does not lie on the image's grid, in words.

    Args:
        volume: the image.
        labels: ``(Z, Y, X)``.
        ijk_to_lps: ``(4, 4)`` of the label map, voxel index to LPS millimetres.
        what: how to call it.
    """
    differences = []
    if labels.shape != volume.shape:
        differences.append(f"{what} has {_times(labels.shape)} voxels, the image {_times(volume.shape)}")
    image_mm, label_mm = (np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (volume.ijk_to_lps, ijk_to_lps))
    if np.abs(label_mm / image_mm - 1).max() > SPACING_TOLERANCE:
        differences.append(f"{what}'s spacing is {_times(label_mm)} mm, the image's {_times(image_mm)} mm")
    cosines = ijk_to_lps[:3, :3] / label_mm - volume.ijk_to_lps[:3, :3] / image_mm
    if np.abs(cosines).max() > DIRECTION_TOLERANCE:
        differences.append(f"{what}'s axes differ from the image's by up to {np.abs(cosines).max():.3g}")
    offset_mm = float(np.linalg.norm(ijk_to_lps[:3, 3] - volume.ijk_to_lps[:3, 3]))
    if offset_mm > ORIGIN_TOLERANCE * image_mm.min():
        differences.append(f"{what}'s origin is {offset_mm:.3g} mm away from the image's")
    return differences


def on_image_grid(
    volume: Volume, labels: NDArray[np.int32], ijk_to_lps: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """A label map with its voxels in the image's order, each where it lies in millimetres; no voxel is interpolated.

    Pictures without a size lie nowhere in millimetres: their label maps stay as they are stored, and so do those that
    are on another grid, of which `grid_differences` tells.

    Args:
        volume: the image.
        labels: ``(Z, Y, X)``.
        ijk_to_lps: ``(4, 4)`` of the label map, voxel index to LPS millimetres.
    """
    turn = label_turn(volume.ijk_to_lps, ijk_to_lps) if volume.has_physical_size else None
    return turn.apply(labels, ijk_to_lps) if turn is not None and turn.is_needed else (labels, ijk_to_lps)


def undeclared_values(values: Iterable[int], declared: Collection[int]) -> str:
    """The first values of a label map that a dataset does not declare, in words; empty where there is none."""
    unknown = sorted(set(values) - set(declared) - {0})
    listed = ", ".join(map(str, unknown[:_MOST_NAMED]))
    return f"label values that dataset.json does not declare: {listed}" if unknown else ""


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
