"""Whether an image still lies where it was segmented, relative to its segments."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.image_record import WORLD
from MultiTaskSegLib.scene.volume import world_ijk_to_ras

TOLERANCE_VOXELS = 0.01  # files keep fewer digits than nodes


def was_moved_apart(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> bool:
    """Whether the image of a result was moved and its segments were not, as by *Center volume* or a hardened transform.

    It was not where the image lies in the world as the run noted it, nor where its own geometry is still the one that
    the segmentation refers to, which moves with it when both are hardened. Segments that somebody has moved over an
    image that stays are no business of this: that is a correction.

    Raises:
        InputError: the image is under a transform that is not linear.
    """
    noted = segmentation_node.GetAttribute(f"{PREFIX}{WORLD}")
    if noted is None:
        return False
    shape = slicer.util.arrayFromVolume(volume_node).shape
    if _is_same(np.reshape(json.loads(noted), (4, 4)), world_ijk_to_ras(volume_node), shape):
        return False
    referred, own = _referred_ijk_to_ras(segmentation_node), vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(own)
    return referred is None or not _is_same(referred, slicer.util.arrayFromVTKMatrix(own), shape)


def _referred_ijk_to_ras(segmentation_node: slicer.vtkMRMLSegmentationNode) -> NDArray[np.float64] | None:
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    text = segmentation_node.GetSegmentation().GetConversionParameter(name)
    image = slicer.vtkOrientedImageData()
    if not text or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    found: NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(matrix)
    return found


def _is_same(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether two matrices take the corners of an image of ``shape`` ``(Z, Y, X)`` to the same places."""
    ends = [(0, size - 1) for size in reversed(shape)]
    corners = np.array([(*corner, 1.0) for corner in product(*ends)]).T
    return np.allclose(np.linalg.inv(one) @ other @ corners, corners, rtol=0.0, atol=TOLERANCE_VOXELS)
