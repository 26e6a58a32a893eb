"""Copies of a volume in which something is put right; the volume itself is never changed."""

from __future__ import annotations

import numpy as np
import slicer

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.node.placement import place_beside
from MultiTaskSegLib.scene.result_record import clear_record
from MultiTaskSegLib.scene.volume import PICTURE_ATTRIBUTE, picture_ending

# Luminance of ITU-R BT.601, as image programs convert colour to grey.
LUMINANCE = np.array([0.299, 0.587, 0.114])


def hardened_copy(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
    """A copy resampled in the world, without its parent transform, which may be of any kind."""
    name = f"{volume_node.GetName()} hardened"
    copy = slicer.modules.volumes.logic().CloneVolume(volume_node.GetScene(), volume_node, name)
    clear_record(copy)  # cloned with the node, but it is about other voxels
    copy.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    copy.HardenTransform()
    _mark(volume_node, copy)
    place_beside(volume_node, copy)
    return copy


def finite_copy(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
    """A copy in which every NaN or infinite voxel has the smallest finite value of the volume.

    Raises:
        InputError: no voxel is finite.
    """
    voxels = np.array(slicer.util.arrayFromVolume(volume_node))
    finite = np.isfinite(voxels)
    if not finite.any():
        raise InputError("no voxel is finite", file=volume_node.GetName(), remedy="Load the image again")
    voxels[~finite] = voxels[finite].min()
    return _copy_with(volume_node, voxels, "mended")


def grey_copy(volume_node: slicer.vtkMRMLVectorVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
    """A scalar copy of a colour picture: its luminance; of grey pictures stored in colour, the grey value.

    Raises:
        InputError: the volume has neither three nor four values per voxel.
    """
    voxels = slicer.util.arrayFromVolume(volume_node)
    if voxels.ndim != 4 or voxels.shape[-1] not in (3, 4):
        raise InputError("the volume is no colour picture", file=volume_node.GetName(), remedy="Select a scalar volume")
    colours = voxels[..., :3].astype(np.float64)  # a fourth value is the opacity
    # Colour by colour: in a product of matrices a pixel's last bit depends on its place in the picture.
    luminance = sum(colours[..., k] * LUMINANCE[k] for k in range(3))
    return _copy_with(volume_node, luminance.astype(np.float32), "grey")


def _copy_with(
    volume_node: slicer.vtkMRMLVolumeNode, voxels: np.ndarray, suffix: str
) -> slicer.vtkMRMLScalarVolumeNode:
    name = f"{volume_node.GetName()} {suffix}"
    copy = volume_node.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    copy.CopyOrientation(volume_node)
    copy.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    slicer.util.updateVolumeFromArray(copy, np.ascontiguousarray(voxels))
    copy.CreateDefaultDisplayNodes()
    _mark(volume_node, copy)
    place_beside(volume_node, copy)
    return copy


def _mark(volume_node: slicer.vtkMRMLVolumeNode, copy: slicer.vtkMRMLVolumeNode) -> None:
    """The copy of a picture has no size in millimetres either, but no file that tells it."""
    if ending := picture_ending(volume_node):
        copy.SetAttribute(PICTURE_ATTRIBUTE, ending)
