"""A volume node as the image that the runtime works on."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.volume import LPS_TO_RAS, Volume

Matrix = np.ndarray


def image_from_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The voxels of a scalar volume with its place in the world, parent transforms included.

    Raises:
        InputError: there is no node or no image data, the node holds labels, colours, vectors or several frames, or a
            parent transform is not linear.
    """
    if volume_node is None:
        raise InputError("no volume is selected", remedy="Load an image and select it")
    name = volume_node.GetName()
    _refuse_other_kinds(volume_node, name)
    image_data = volume_node.GetImageData()
    if image_data is None or image_data.GetNumberOfPoints() == 0 or image_data.GetPointData().GetScalars() is None:
        raise InputError("the volume is empty", file=name, remedy="Load an image into it or select another volume")
    if image_data.GetNumberOfScalarComponents() != 1:
        raise InputError(
            f"the volume has {image_data.GetNumberOfScalarComponents()} values per voxel",
            file=name,
            remedy="Convert it to a scalar volume with the Vector to Scalar Volume module",
        )
    voxels = np.array(slicer.util.arrayFromVolume(volume_node), dtype=np.float32)
    return Volume(voxels, LPS_TO_RAS @ world_ijk_to_ras(volume_node), name=name)


def world_ijk_to_ras(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Matrix:
    """float64 ``(4, 4)``: voxel index to RAS millimetres of the world, that is after all parent transforms.

    Raises:
        InputError: a parent transform is not linear.
    """
    local = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(local)
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(local)
    transform_node = volume_node.GetParentTransformNode()
    if transform_node is None:
        return ijk_to_ras
    if not transform_node.IsTransformToWorldLinear():
        raise InputError(
            f"the volume is under the non-linear transform '{transform_node.GetName()}'",
            file=volume_node.GetName(),
            remedy="Harden the transform on the volume, or remove it",
        )
    to_world = vtk.vtkMatrix4x4()
    transform_node.GetMatrixTransformToWorld(to_world)
    return slicer.util.arrayFromVTKMatrix(to_world) @ ijk_to_ras


def _refuse_other_kinds(volume_node: slicer.vtkMRMLNode, name: str) -> None:
    if not volume_node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError("the node is not a scalar volume", file=name, remedy="Select a scalar volume")
    if volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError("the volume is a label map, not an image", file=name, remedy="Select the image itself")
    # Vector, diffusion and multi-frame volumes derive from the scalar volume in MRML.
    if volume_node.IsA("vtkMRMLTensorVolumeNode") or volume_node.IsA("vtkMRMLDiffusionWeightedVolumeNode"):
        raise InputError(
            "the volume has several values or frames per voxel",
            file=name,
            remedy="Extract one scalar volume, for example with the Vector to Scalar Volume module",
        )
