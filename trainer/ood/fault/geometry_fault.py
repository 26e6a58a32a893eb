"""Faults of the image's geometry. Each takes a volume, labels on its grid, a severity and a generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.canonical_image import canonical_image

Labels = NDArray[np.integer]
Faulty = tuple[Volume, Labels | None]

SPACING_FACTOR = (1.5, 2.0, 3.0)
KEPT_SHARE = (0.7, 0.5, 0.3)
FEW_SLICES = 16
"""A stack of no more slices is never cropped across them."""


def misspaced(volume: Volume, labels: Labels | None, severity: int, rng: np.random.Generator) -> Faulty:
    """Wrong spacing: the header claims larger or smaller voxels; first voxel, voxels and labels stay."""
    factor = SPACING_FACTOR[severity - 1] if rng.random() < 0.5 else 1 / SPACING_FACTOR[severity - 1]
    return replace(volume, ijk_to_lps=volume.ijk_to_lps @ np.diag([factor, factor, factor, 1.0])), labels


def misoriented(volume: Volume, labels: Labels | None, severity: int, rng: np.random.Generator) -> Faulty:
    """Wrong orientation: the array is turned while the header stays as it was.

    Severity 1, 2, 3 of a volume: front and back exchanged; a quarter turn about Z; all three axes exchanged in a
    circle. Of a 2-D image or a stack of thick slices: mirrored left to right; upside down; rows and columns exchanged.
    """
    reorientation = canonical_reorientation(volume)
    is_stack = canonical_image(volume).is_stack
    turns = 1 if rng.random() < 0.5 else 3

    def turn(array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn a stored array in canonical axes."""
        canonical = reorientation.apply(array)
        if is_stack:
            turned = (np.flip(canonical, 2), np.flip(canonical, 1), canonical.transpose(0, 2, 1))[severity - 1]
        else:
            quarter = np.rot90(canonical, turns, axes=(1, 2))
            turned = (np.flip(canonical, 1), quarter, canonical.transpose(2, 0, 1))[severity - 1]
        return np.ascontiguousarray(reorientation.invert(turned))

    turned_labels = None if labels is None else np.asarray(turn(labels), dtype=labels.dtype)
    return replace(volume, voxels=np.asarray(turn(volume.voxels), dtype=np.float32)), turned_labels


def cropped(volume: Volume, labels: Labels | None, severity: int, rng: np.random.Generator) -> Faulty:
    """Cropped field of view: a box of 70, 50 or 30 % of each extent, near the centre; its place in the world stays.

    Across slices too, unless there are 16 or fewer or they are thick.
    """
    image = canonical_image(volume)
    where = rng.uniform(0.35, 0.65, 3)
    box: list[slice] = [slice(None)] * 3
    for canonical_axis, stored_axis in enumerate(image.reorientation.axes):
        size = volume.shape[stored_axis]
        if canonical_axis == 0 and (size <= FEW_SLICES or image.is_stack):
            continue
        kept = max(1, round(KEPT_SHARE[severity - 1] * size))
        start = round(where[canonical_axis] * (size - kept))
        if image.reorientation.flips[canonical_axis]:
            start = size - kept - start
        box[stored_axis] = slice(start, start + kept)
    z, y, x = box
    moved = volume.ijk_to_lps.copy()
    moved[:, 3] = volume.ijk_to_lps @ [x.start or 0, y.start or 0, z.start or 0, 1.0]
    part = replace(volume, voxels=np.ascontiguousarray(volume.voxels[z, y, x]), ijk_to_lps=moved)
    return part, None if labels is None else np.ascontiguousarray(labels[z, y, x])
