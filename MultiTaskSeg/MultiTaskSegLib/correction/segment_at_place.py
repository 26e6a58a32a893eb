"""Which segment a place belongs to: the one that is there, or the one that has most voxels around it."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.scene.node.segment_print import LABELMAP
from MultiTaskSegLib.scene.volume import to_world_of

REACHES_VOXELS = (0, 1, 2, 4, 8, 16, 32)


def segment_at(
    segmentation_node: slicer.vtkMRMLSegmentationNode, place_ras: NDArray[np.float64]
) -> tuple[str | None, bool]:
    """ID of the segment to correct at a place, and whether the place lies within it.

    Args:
        segmentation_node: of a result.
        place_ras: RAS millimetres of the world.

    Returns:
        The segment that has most voxels in the smallest neighbourhood in which there is any; None where all segments
        are empty or far away. Of segments that overlap at the place it is the smallest, which is drawn on top.

    Raises:
        InputError: a parent transform is not linear.
    """
    local = (np.linalg.inv(to_world_of(segmentation_node)) @ [*place_ras, 1.0])[:3]
    segmentation = segmentation_node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    for reach in REACHES_VOXELS:
        counts = {one: _voxels_around(segmentation.GetSegment(one), local, reach) for one in ids}
        near = [one for one in ids if counts[one]]
        if near and reach == 0:
            return min(near, key=lambda one: _size(segmentation.GetSegment(one))), True
        if near:
            return max(near, key=lambda one: counts[one]), False
    return None, False


def _voxels_around(segment: slicer.vtkSegment, place_mm: NDArray[np.float64], reach: int) -> int:
    image = segment.GetRepresentation(LABELMAP)
    if image is None or not image.GetNumberOfPoints():
        return 0
    to_index = vtk.vtkMatrix4x4()
    image.GetWorldToImageMatrix(to_index)
    index = (slicer.util.arrayFromVTKMatrix(to_index) @ [*place_mm, 1.0])[:3]
    first = np.array(image.GetExtent()[::2])
    i, j, k = (int(value) for value in np.round(index) - first)
    box = tuple(slice(max(at - reach, 0), max(at + reach + 1, 0)) for at in (k, j, i))
    return int(np.count_nonzero(_array(image)[box] == segment.GetLabelValue()))


def _size(segment: slicer.vtkSegment) -> int:
    return int(np.count_nonzero(_array(segment.GetRepresentation(LABELMAP)) == segment.GetLabelValue()))


def _array(image: slicer.vtkOrientedImageData) -> NDArray[np.generic]:
    array: NDArray[np.generic] = vtk_to_numpy(image.GetPointData().GetScalars())
    return array.reshape(*reversed(image.GetDimensions()))
