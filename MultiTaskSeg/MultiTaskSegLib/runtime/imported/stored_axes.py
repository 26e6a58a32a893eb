"""In which order of its axes an imported network sees an image: as the file stores them, or turned to the body."""

from __future__ import annotations

import numpy as np

from MultiTaskSegLib.runtime.image.geometry import SIDES, Reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.nnunet.preparation_plan import PICTURE, RAS

AS_STORED = Reorientation((0, 1, 2), (False, False, False))
# nnU-Net gives a slice without thickness so many times the size of its pixels.
THICKNESS_FACTOR = 999.0
# For axes i, j and k of RAS: the body axis of LPS, and whether it runs the same way.
BODY_AXES = ((0, -1), (1, -1), (2, 1))


def reader_axes(volume: Volume, reader: str) -> Reorientation:
    """What nnU-Net's reader does to the axes of an image.

    Args:
        volume: the image, axes as stored.
        reader: of the plans. ``ras`` turns and flips them so that they run to the right, to the front and up
            (``NibabelIOWithReorient``, ``SimpleITKIOWithReorient``); the others leave them as they are.
    """
    if reader != RAS:
        return AS_STORED
    direction = volume.ijk_to_lps[:3, :3] / np.asarray(volume.spacing_mm)
    stored = [volume.stored_along[body] for body, _ in BODY_AXES]
    flips = [bool(direction[body, axis] * sign < 0) for axis, (body, sign) in zip(stored, BODY_AXES, strict=True)]
    z, y, x = (2 - axis for axis in reversed(stored))
    return Reorientation((z, y, x), (flips[2], flips[1], flips[0]))


def reader_spacing_mm(volume: Volume, axes: Reorientation, reader: str) -> tuple[float, float, float]:
    """Voxel size along the axes ``(z, y, x)`` that the network sees, as nnU-Net's reader tells it."""
    if reader == PICTURE:
        return THICKNESS_FACTOR, 1.0, 1.0
    spacing_mm = axes.spacing_zyx_mm(volume)
    if volume.measured == "voxel" or not volume.is_planar:
        return spacing_mm
    thick = axes.axes.index(2 - volume.across_slice)
    in_plane = max(mm for axis, mm in enumerate(spacing_mm) if axis != thick)
    z, y, x = (THICKNESS_FACTOR * in_plane if axis == thick else mm for axis, mm in enumerate(spacing_mm))
    return z, y, x


def orientation_letters(volume: Volume, axes: Reorientation) -> str:
    """Where X, Y and Z of what the network sees run to, or nearly so: ``RAS`` is to the right, to the front and up."""
    direction = volume.ijk_to_lps[:3, :3]
    letters = []
    for stored, is_flipped in zip(reversed(axes.axes), reversed(axes.flips), strict=True):
        body = volume.stored_along.index(2 - stored)
        is_forward = (direction[body, 2 - stored] > 0) != is_flipped
        letters.append(SIDES[body][1 if is_forward else -1])
    return "".join(letters)
