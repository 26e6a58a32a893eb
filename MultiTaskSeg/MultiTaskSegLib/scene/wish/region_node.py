"""A region of interest of the scene as the runtime knows it, and one made of what the slice views show."""

from __future__ import annotations

from itertools import product

import numpy as np
import slicer
import vtk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.selection.region import Region

SMALLEST_MM = 1e-3


def region_of(node: slicer.vtkMRMLMarkupsROINode) -> Region:
    """The box of an ROI in the world, that is after all parent transforms.

    Raises:
        InputError: a parent transform is not linear or shears the box, the box has no size, or everything outside it
            is meant.
    """
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise InputError("the region is under a non-linear transform", file=node.GetName(), remedy="Move it out of it")
    if node.GetInsideOut():
        raise InputError(
            "the region means everything outside it", file=node.GetName(), remedy="Turn 'Inside out' off in Markups"
        )
    to_world = slicer.util.arrayFromVTKMatrix(node.GetObjectToWorldMatrix())
    lengths = np.linalg.norm(to_world[:3, :3], axis=0)
    size_mm = lengths * np.asarray(node.GetSize())
    if not (np.isfinite(size_mm).all() and size_mm.min() > SMALLEST_MM):
        raise InputError("the region has no size", file=node.GetName(), remedy="Draw it, or make it from the views")
    plain = {"centre_ras_mm": to_world[:3, 3], "size_mm": size_mm, "axes_ras": (to_world[:3, :3] / lengths).T}
    return Region.from_dict(plain)


def add_region_of_views(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLMarkupsROINode:
    """Add an ROI around what the slice views show of a volume.

    Along each of the body's axes the view that shows least counts; of a view that lies along no such axis, the box
    around what it shows.

    Raises:
        InputError: the views show nothing of the volume.
    """
    scene = volume_node.GetScene()
    lows, highs = _bounds_of(volume_node)
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")
    views = [scene.GetNthNodeByClass(number, "vtkMRMLSliceNode") for number in range(count)]
    # Those of other layouts show what they showed when they were last seen.
    for view in [view for view in views if view.IsMappedInLayout()] or views:
        shown_low, shown_high = _shown_by(view)
        is_spanned = shown_high - shown_low > SMALLEST_MM
        lows = np.where(is_spanned, np.maximum(lows, shown_low), lows)
        highs = np.where(is_spanned, np.minimum(highs, shown_high), highs)
    if (highs <= lows).any():
        raise InputError(
            "the slice views show nothing of the volume", file=volume_node.GetName(), remedy="Move them onto it"
        )
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", scene.GenerateUniqueName("Region"))
    node.SetCenter(*((lows + highs) / 2))
    node.SetSize(*(highs - lows))
    node.CreateDefaultDisplayNodes()
    if node.GetDisplayNode() is not None:
        node.GetDisplayNode().SetFillOpacity(0.0)  # what lies in it is to be seen
    return node


def _bounds_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.zeros(6)
    volume_node.GetRASBounds(bounds)
    return bounds[::2], bounds[1::2]


def _shown_by(view: slicer.vtkMRMLSliceNode) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest R, A and S that a slice view shows."""
    to_ras = vtk.vtkMatrix4x4()
    to_ras.DeepCopy(view.GetSliceToRAS())
    matrix, half_mm = slicer.util.arrayFromVTKMatrix(to_ras), np.asarray(view.GetFieldOfView()[:2]) / 2
    corners = np.array([[*(half_mm * signs), 0, 1] for signs in product((-1, 1), repeat=2)])
    shown = corners @ matrix[:3].T
    return shown.min(axis=0), shown.max(axis=0)
