"""The surfaces of a segmentation, as 3-D views show them."""

from __future__ import annotations

import math

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.scene.segmentation import LABELMAP
from MultiTaskSegLib.scene.surface.kept_volume import LARGEST_CHANGE, keep_volume

SURFACE = "Closed surface"
DEFAULT_SMOOTHING, LEAST_SMOOTHING = 0.5, 0.1


def show_3d(
    segmentation_node: slicer.vtkMRMLSegmentationNode, is_shown: bool = True, smoothing: float | None = None
) -> None:
    """Make the surfaces of all segments, which 3-D views then show; or hide them again.

    Slicer smooths them (windowed sinc); then each gets the volume of its voxels back, to one in a thousand. One
    that has lost more than half of it is smoothed less.

    Args:
        segmentation_node: whose surfaces.
        is_shown: whether to show them.
        smoothing: 0 (none) to 1; None for what the segmentation has.

    Raises:
        ResourceError: Slicer cannot make them.
    """
    segmentation = segmentation_node.GetSegmentation()
    if smoothing is not None and smoothing != smoothing_of(segmentation_node):
        segmentation.SetConversionParameter(_smoothing_name(), f"{smoothing:g}")
        segmentation_node.RemoveClosedSurfaceRepresentation()
    if is_shown and not segmentation.ContainsRepresentation(SURFACE):
        if not segmentation_node.CreateClosedSurfaceRepresentation():
            raise ResourceError(
                "Slicer cannot make the surfaces", file=segmentation_node.GetName(), remedy="See its log"
            )
        for number in range(segmentation.GetNumberOfSegments()):
            _keep(segmentation_node, segmentation.GetNthSegmentID(number))
    segmentation_node.GetDisplayNode().SetVisibility3D(is_shown)


def smoothing_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> float:
    """How much the surfaces of a segmentation are smoothed, 0 to 1."""
    try:
        return float(segmentation_node.GetSegmentation().GetConversionParameter(_smoothing_name()))
    except ValueError:
        return DEFAULT_SMOOTHING


def _keep(segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
    surface = segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation(SURFACE)
    if surface is None or not surface.GetNumberOfCells():
        return  # of an empty segment
    voxels = slicer.vtkOrientedImageData()
    segmentation_node.GetBinaryLabelmapRepresentation(segment_id, voxels)
    matrix = vtk.vtkMatrix4x4()
    voxels.GetImageToWorldMatrix(matrix)
    voxel_mm3 = abs(np.linalg.det(slicer.util.arrayFromVTKMatrix(matrix)[:3, :3]))
    labels = vtk_to_numpy(voxels.GetPointData().GetScalars())
    volume_mm3, smoothing = float(np.count_nonzero(labels)) * voxel_mm3, smoothing_of(segmentation_node)
    while not keep_volume(surface, volume_mm3, LARGEST_CHANGE if smoothing > 0 else math.inf) and smoothing > 0:
        # What is as thin as a voxel or two may be smoothed away altogether; without smoothing, it is all there.
        smoothing = smoothing / 2 if smoothing > LEAST_SMOOTHING else 0.0
        surface.DeepCopy(_made_anew(segmentation_node.GetSegmentation(), segment_id, smoothing))


def _made_anew(segmentation: slicer.vtkSegmentation, segment_id: str, smoothing: float) -> vtk.vtkPolyData:
    """The surface of one segment with another smoothing."""
    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(LABELMAP)
    alone.CopyConversionParameters(segmentation)
    alone.SetConversionParameter(_smoothing_name(), f"{smoothing:g}")
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment(segment_id))
    copy.RemoveRepresentation(SURFACE)
    alone.AddSegment(copy, segment_id)
    alone.CreateRepresentation(SURFACE)
    return copy.GetRepresentation(SURFACE)


def _smoothing_name() -> str:
    return str(slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetSmoothingFactorParameterName())
