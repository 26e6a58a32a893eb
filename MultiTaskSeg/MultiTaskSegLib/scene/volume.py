"""A volume node as the image that the runtime works on."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.nifti_integrity import MAX_NONFINITE_FRACTION
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS, Measured, Volume
from MultiTaskSegLib.runtime.pixel.block_ringing import without_ringing

Matrix = np.ndarray
JPEG = (".jpg", ".jpeg")
PICTURES = (*JPEG, ".png", ".bmp", ".tif", ".tiff")
PICTURE_ATTRIBUTE = "MultiTaskSeg.Picture"  # ending of the file that a copy, which has none, was made of


def image_from_node(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The voxels of a scalar volume with its place in the world, parent transforms included.

    Up to 0.1 % of NaN or infinite voxels are replaced by the smallest finite value, with a note in `Volume.warnings`;
    the node keeps what it has. A picture has no size in millimetres, whatever spacing its node was given.

    Raises:
        InputError: there is no node or no image data, the node holds labels, colours, vectors or several frames, too
            many voxels are not finite, or a parent transform is not linear.
    """
    require_scalar_image(volume_node)
    ijk_to_lps = LPS_TO_RAS @ world_ijk_to_ras(volume_node)
    voxels = np.array(slicer.util.arrayFromVolume(volume_node), dtype=np.float32)
    ending = picture_ending(volume_node)
    measured: Measured = "nothing" if ending else "voxel"
    if not has_float_voxels(volume_node) or is_all_finite(voxels):
        # As for a JPEG file that is read without Slicer.
        voxels = without_ringing(voxels) if ending in JPEG else voxels
        return Volume(voxels, ijk_to_lps, volume_node.GetName(), measured=measured)
    bad = ~np.isfinite(voxels)
    if bad.mean() > MAX_NONFINITE_FRACTION:
        raise InputError(
            f"{100.0 * bad.mean():.2g} % of the voxels are NaN or infinite",
            file=volume_node.GetName(),
            remedy="Replace them in a copy of the volume",
        )
    voxels[bad] = voxels[~bad].min()
    note = f"{int(bad.sum())} NaN or infinite voxels were replaced by the smallest finite value"
    return Volume(voxels, ijk_to_lps, volume_node.GetName(), (note,), measured)


def require_scalar_image(volume_node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Refuse what is no image of one value per voxel, without looking at the voxels.

    Raises:
        InputError: there is no node or no image data, or the node holds labels, colours, vectors or several frames.
    """
    if volume_node is None:
        raise InputError("no volume is selected", remedy="Load an image and select it")
    name = volume_node.GetName()
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
    _require_voxels(volume_node, name)


def picture_ending(volume_node: slicer.vtkMRMLVolumeNode) -> str:
    """Ending of the PNG, JPEG or the like that a volume, or what it is a copy of, was read from; empty for others."""
    if noted := volume_node.GetAttribute(PICTURE_ATTRIBUTE):
        return str(noted)
    storage_node = volume_node.GetStorageNode()
    name = "" if storage_node is None else storage_node.GetFileName() or ""
    return next((ending for ending in PICTURES if name.lower().endswith(ending)), "")


def has_float_voxels(volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the voxels are of a type that can hold NaN."""
    return volume_node.GetImageData().GetScalarType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE)


def finite_share(volume_node: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Share of the voxels that are neither NaN nor infinite, 0 to 1."""
    if not has_float_voxels(volume_node):
        return 1.0
    voxels: NDArray[np.floating] = slicer.util.arrayFromVolume(volume_node)
    return 1.0 if is_all_finite(voxels) else float(np.isfinite(voxels).mean())


def is_all_finite(voxels: NDArray[np.floating]) -> bool:
    """Whether no value is NaN or infinite: either would be the smallest or the largest. Quick, and without a copy."""
    return bool(np.isfinite(voxels.min()) and np.isfinite(voxels.max()))


def world_ijk_to_ras(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Matrix:
    """float64 ``(4, 4)``: voxel index to RAS millimetres of the world, that is after all parent transforms.

    Raises:
        InputError: a parent transform is not linear.
    """
    local = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(local)
    return to_world_of(volume_node) @ slicer.util.arrayFromVTKMatrix(local)


def to_world_of(node: slicer.vtkMRMLTransformableNode) -> Matrix:
    """float64 ``(4, 4)``: a node's own RAS millimetres to those of the world, through all parent transforms.

    Raises:
        InputError: a parent transform is not linear.
    """
    transform_node = node.GetParentTransformNode()
    if transform_node is None:
        return np.eye(4)
    if not transform_node.IsTransformToWorldLinear():
        raise InputError(
            f"the volume is under the non-linear transform '{transform_node.GetName()}'",
            file=node.GetName(),
            remedy="Harden the transform on the volume, or remove it",
        )
    to_world = vtk.vtkMatrix4x4()
    transform_node.GetMatrixTransformToWorld(to_world)
    return slicer.util.arrayFromVTKMatrix(to_world)


def voxel_volume_mm3(volume_node: slicer.vtkMRMLScalarVolumeNode) -> float:
    """Volume of a voxel in the world, that is after all parent transforms. Raises as `world_ijk_to_ras`."""
    return float(abs(np.linalg.det(world_ijk_to_ras(volume_node)[:3, :3])))


def world_spacing_mm(volume_node: slicer.vtkMRMLScalarVolumeNode) -> tuple[float, float, float]:
    """Size of a voxel ``(i, j, k)`` in the world. Raises as `world_ijk_to_ras`."""
    i_mm, j_mm, k_mm = (float(size) for size in np.linalg.norm(world_ijk_to_ras(volume_node)[:3, :3], axis=0))
    return i_mm, j_mm, k_mm


def _require_voxels(volume_node: slicer.vtkMRMLScalarVolumeNode, name: str) -> None:
    image_data = volume_node.GetImageData()
    if image_data is None or image_data.GetNumberOfPoints() == 0 or image_data.GetPointData().GetScalars() is None:
        raise InputError("the volume is empty", file=name, remedy="Load an image into it or select another volume")
    if image_data.GetNumberOfScalarComponents() != 1:
        raise InputError(
            f"the volume has {image_data.GetNumberOfScalarComponents()} values per voxel",
            file=name,
            remedy="Convert it to a scalar volume with the Vector to Scalar Volume module",
        )
