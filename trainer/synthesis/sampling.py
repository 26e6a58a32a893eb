"""Where the voxels of a synthetic scan lie in its label map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.synthesis.label_map import LabelMap
from trainer.synthesis.scan import Scan, Vector

Places = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

# Control points lie so far apart, and reach as far as any field of view.
FINE_MM, COARSE_MM, REACH_MM = 36.0, 90.0, 180.0


def places_mm(scan: Scan, shape: tuple[int, int, int], spacing_mm: Vector) -> Places:
    """Centres of the voxels of a grid over the field of view along each axis, from the middle of the brain."""
    z, y, x = (
        np.asarray((np.arange(n) - (n - 1) / 2) * mm + middle, dtype=np.float64)
        for n, mm, middle in zip(shape, spacing_mm, scan.centre_mm, strict=True)
    )
    return z, y, x


def smooth_field(rng: np.random.Generator, places: Places, distance_mm: float, components: int) -> NDArray[np.float32]:
    """A smooth random field: cubic B-splines of normal control points.

    Args:
        rng: of the control points, whose number depends on nothing but ``distance_mm``: the same field on any grid.
        places: voxel centres along each axis in millimetres.
        distance_mm: between control points.
        components: fields that are drawn.

    Returns:
        float32 ``(components, Z, Y, X)`` with a standard deviation of 1 at control points.
    """
    points = 2 * int(np.ceil(REACH_MM / distance_mm)) + 1
    # A cubic spline of independent points has (1/36 + 16/36 + 1/36) of their variance along each axis.
    control = rng.standard_normal((components, points, points, points)) / (np.sqrt(0.5) ** 3)
    z, y, x = (_weights(own, distance_mm, points) for own in places)
    plane = np.matmul(y, np.matmul(control.astype(np.float32), x.T))
    moved = np.matmul(z, plane.reshape(components, points, -1))
    field: NDArray[np.float32] = moved.reshape(components, len(z), len(y), len(x))
    return field


def sampled_codes(scan: Scan, head: LabelMap, places: Places, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The map's codes at a grid's voxels, each the one that its centre lies in; air outside the map.

    Args:
        scan: the record.
        head: the map.
        places: voxel centres along each axis.
        rng: of the displacement.
    """
    matrix = np.array(scan.matrix)
    if scan.mirrored:
        matrix[2] *= -1
    to_voxels = 1 / np.asarray(head.spacing_zyx_mm)
    start = np.asarray(head.centre_zyx_mm) * to_voxels
    voxels = (matrix * to_voxels[:, None]).astype(np.float32)
    offset = _displacement_mm(scan, places, rng)
    index = np.zeros(tuple(len(own) for own in places), dtype=np.int32)
    for axis, size in enumerate(head.codes.shape):
        z, y, x = ((own * factor).astype(np.float32) for own, factor in zip(places, voxels[axis], strict=True))
        place = (z[:, None, None] + np.float32(start[axis] + 0.5)) + (y[:, None] + x)
        place += offset[axis] * np.float32(to_voxels[axis])
        np.clip(place, 0, size - 1, out=place)
        index *= size
        index += place.astype(np.int32)
    return np.take(head.codes.reshape(-1), index)


def _displacement_mm(scan: Scan, places: Places, rng: np.random.Generator) -> NDArray[np.float32]:
    """``(3, Z, Y, X)``."""
    fine, coarse = scan.elastic_mm
    field: NDArray[np.float32] = smooth_field(rng, places, FINE_MM, 3) * np.float32(fine)
    field += smooth_field(rng, places, COARSE_MM, 3) * np.float32(coarse)
    return field


def _weights(places: NDArray[np.float64], distance_mm: float, points: int) -> NDArray[np.float32]:
    """Cubic B-spline weights ``(n, points)`` of evenly spaced points around 0; beyond them the field ends."""
    u = np.abs(places[:, None] / distance_mm - (np.arange(points) - (points - 1) / 2))
    near = 2 / 3 - u**2 + u**3 / 2
    far = np.clip(2 - u, 0, None) ** 3 / 6
    weights: NDArray[np.float32] = np.where(u < 1, near, far).astype(np.float32)
    return weights
