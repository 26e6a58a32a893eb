"""Foreign images on the grid of a known one, so that dimensions and spacing carry no information."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.resampling import interpolation_matrix
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.canonical_image import robust_range

Vector = NDArray[np.float64]

LEAST_KEPT = 0.25
"""Enlarging by one factor must leave at least this share of each axis visible that would fit into the box."""
MAX_MAGNIFICATION = 2.0
"""As in preparation for the network, pixels are not shown larger, where the foreign volume has more to show."""


def match_geometry(foreign: Volume, like: Volume) -> Volume:
    """Cut a centred box of the extent of ``like`` out of a foreign volume and resample it onto the grid of ``like``.

    Both are looked at in canonical axes, so that the anatomy stands upright as the header of ``like`` says. A foreign
    volume that is smaller than the box is enlarged until it fills the box: by one factor for all axes, unless that
    would hide most of another axis (see `LEAST_KEPT`); then the smaller axes are stretched alone. Nothing is padded.
    A foreign volume with much coarser pixels is shrunk as far as it fills the box, so that it is not a mere blur (see
    `MAX_MAGNIFICATION`). Of a 2-D image pixels count, because its spacing is not to be trusted: the largest centred
    box with the proportions of the matrix of ``like`` fills the matrix.

    Args:
        foreign: 3-D, or of one slice.
        like: volume of a known case; only its grid is used.

    Returns:
        Volume with the shape and ``ijk_to_lps`` of ``like`` and the name of ``foreign``.

    Raises:
        InputError: the foreign image, or what is seen of it in the box, is constant.
    """
    source, target = canonical_reorientation(foreign), canonical_reorientation(like)
    values = np.asarray(source.apply(foreign.voxels), dtype=np.float32)
    target_shape = np.asarray([like.shape[axis] for axis in target.axes])
    if like.is_planar or foreign.is_planar:
        box = _planar_box(np.asarray(values.shape), target_shape)
    else:
        target_spacing_mm = np.asarray(target.spacing_zyx_mm(like))
        spacing_mm = np.asarray(source.spacing_zyx_mm(foreign))
        magnification = float(spacing_mm[1:].max() / target_spacing_mm[1:].max())
        extent_mm = np.asarray(values.shape) * spacing_mm
        box = _box_mm(extent_mm, target_shape * target_spacing_mm, magnification) / spacing_mm
    matched = _resample_box(values, box, target_shape)
    robust_range(matched, foreign.name)
    voxels = np.ascontiguousarray(target.invert(matched), dtype=np.float32)
    return replace(foreign, voxels=voxels, ijk_to_lps=like.ijk_to_lps.copy())


def _box_mm(extent_mm: Vector, target_mm: Vector, magnification: float) -> Vector:
    """Extents ``(Z, Y, X)`` of the part of the foreign volume that will fill the box of ``target_mm``."""
    fill = extent_mm / target_mm
    if fill.min() >= 1:
        return target_mm * float(np.clip(magnification / MAX_MAGNIFICATION, 1.0, fill.min()))
    isotropic: Vector = target_mm * fill.min()
    if (isotropic >= LEAST_KEPT * np.minimum(target_mm, extent_mm)).all():
        return isotropic
    smaller: Vector = np.minimum(target_mm, extent_mm)
    return smaller


def _planar_box(shape: NDArray[np.integer], target_shape: NDArray[np.integer]) -> Vector:
    """Extents in pixels of the largest box with the target's proportions in the plane; one slice if it has one."""
    box = target_shape.astype(np.float64) * float((shape[1:] / target_shape[1:]).min())
    box[0] = min(shape[0], target_shape[0])
    return box


def _resample_box(values: NDArray[np.float32], box: Vector, shape: NDArray[np.integer]) -> NDArray[np.float32]:
    """Resample a centred box of ``box`` voxels (not whole numbers) of ``(Z, Y, X)`` to ``shape``."""
    for axis in sorted(range(3), key=lambda a: shape[a] / values.shape[a]):
        n_in, n_out = values.shape[axis], int(shape[axis])
        weights = interpolation_matrix(n_in, n_out, box[axis])
        moved = np.moveaxis(values, axis, 0)
        flat = np.ascontiguousarray(moved).reshape(n_in, -1)
        values = np.moveaxis((weights @ flat).reshape(n_out, *moved.shape[1:]), 0, axis)
    return values
