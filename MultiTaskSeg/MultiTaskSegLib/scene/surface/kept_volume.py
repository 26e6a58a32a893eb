"""A smoothed surface with the volume that it had before: every point moves a little along its normal."""

from __future__ import annotations

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

STEPS = 12  # of a voxel that is alone, marching cubes leave a sixth; of most surfaces two or three do
NEAR_ENOUGH = 1e-3
# Of the target: a surface that has lost more of it is no longer one of these voxels, and stays as it is.
LARGEST_CHANGE = 0.5


def keep_volume(surface: vtk.vtkPolyData, volume_mm3: float, largest_change: float = LARGEST_CHANGE) -> bool:
    """Move the points of a closed surface, outwards or inwards all by the same length, until it holds a volume.

    Marching cubes cut edges and corners of voxels off, and smoothing shrinks what is small or thin. The change of the
    volume by such a move is, to first order, the move times the sum of the points' own areas; a few Newton steps do.

    Args:
        surface: closed, of triangles with outward or inward sides throughout; its points are changed.
        volume_mm3: of the voxels.
        largest_change: share of that volume by which it may differ at first.

    Returns:
        Whether it holds the volume now, to one in a thousand; where it cannot, it is left as it was.
    """
    triangles = _triangles(surface)
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64) if len(triangles) else np.zeros((0, 3))
    for _ in range(STEPS):
        held_mm3, areas = _volume_and_areas(points, triangles)
        wanted_mm3 = np.copysign(volume_mm3, held_mm3)
        if abs(held_mm3 - wanted_mm3) > largest_change * volume_mm3:
            return False
        if abs(held_mm3 - wanted_mm3) <= NEAR_ENOUGH * volume_mm3:
            break
        lengths = np.linalg.norm(areas, axis=1)
        move_mm = (wanted_mm3 - held_mm3) / lengths.sum()
        points += move_mm * areas / np.maximum(lengths, np.finfo(float).tiny)[:, None]
    missing_mm3 = abs(abs(_volume_and_areas(points, triangles)[0]) - volume_mm3)
    if not missing_mm3 <= 2 * NEAR_ENOUGH * volume_mm3:  # nor is it a number where there is no area to move
        return False
    moved = vtk.vtkPoints()
    moved.SetData(numpy_to_vtk(points.astype(np.float32), deep=True))
    surface.SetPoints(moved)
    return True


def surface_volume_mm3(surface: vtk.vtkPolyData) -> float:
    """The volume in a closed surface, by the divergence theorem."""
    triangles = _triangles(surface)
    if not len(triangles):
        return 0.0
    return abs(_volume_and_areas(vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64), triangles)[0])


def _triangles(surface: vtk.vtkPolyData) -> NDArray[np.int64]:
    """Numbers of points ``(T, 3)``, of polygons and strips."""
    split = vtk.vtkTriangleFilter()
    split.SetInputData(surface)
    split.PassVertsOff()
    split.PassLinesOff()
    split.Update()
    cells = split.GetOutput().GetPolys()
    if not cells.GetNumberOfCells():
        return np.zeros((0, 3), dtype=np.int64)
    return vtk_to_numpy(cells.GetConnectivityArray()).astype(np.int64).reshape(-1, 3)


def _volume_and_areas(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Signed volume, and of each point a third of the area vectors of its triangles, ``(P, 3)``."""
    if not len(triangles):
        return 0.0, np.zeros_like(points)
    centred = points - points.mean(axis=0)
    a, b, c = (centred[triangles[:, corner]] for corner in range(3))
    doubled = np.cross(b - a, c - a)
    volume = float(np.einsum("ij,ij->", a, doubled)) / 6
    areas = np.zeros_like(points)
    for axis in range(3):
        for corner in range(3):
            areas[:, axis] += np.bincount(triangles[:, corner], doubled[:, axis] / 6, minlength=len(points))
    return volume, areas
