"""A segmentation of the scene as a labelled image for training: voxels and geometry exactly the image's."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import slicer

from MultiTaskSegLib.correction.image_place import was_moved_apart
from MultiTaskSegLib.correction.patient import patient_of
from MultiTaskSegLib.correction.used_model import task_of
from MultiTaskSegLib.dataset.training_case import Structure, TrainingCase
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE
from MultiTaskSegLib.scene.handwork import SEGMENTS_AS_MADE
from MultiTaskSegLib.scene.image_record import FRAME, channels_of, has_other_voxels
from MultiTaskSegLib.scene.node.segment_print import LABELMAP
from MultiTaskSegLib.scene.volume import finite_share, require_scalar_image, to_world_of, world_ijk_to_ras

TOLERANCE = 1e-5


def case_of(segmentation_node: slicer.vtkMRMLSegmentationNode, channel_names: Sequence[str] = ()) -> TrainingCase:
    """The image of a segmentation with its segments as structures.

    Args:
        segmentation_node: a result, or a segmentation that was drawn on a volume by hand.
        channel_names: what the channels of the image show; none for what the model's task says.

    Raises:
        InputError: the image is missing or was changed after the run, has voxels that are not finite or is sheared,
            channels are not on one grid, or image and segmentation were moved apart.
    """
    volume_node = image_of(segmentation_node)
    is_result = segmentation_node.GetNodeReference(INPUT_ROLE) is not None
    if is_result and has_other_voxels(volume_node, segmentation_node):
        raise InputError(
            "the image was changed after it was segmented", file=volume_node.GetName(), remedy="Segment it again"
        )
    if not np.allclose(to_world_of(segmentation_node), to_world_of(volume_node), atol=TOLERANCE):
        raise InputError(
            "the segmentation and its image are under different transforms",
            file=segmentation_node.GetName(),
            remedy="Put both under the same one",
        )
    if is_result and was_moved_apart(segmentation_node, volume_node):
        raise InputError(
            "the image was moved after it was segmented, and its segments were not",
            file=volume_node.GetName(),
            remedy="Move it back, or segment it again; a transform moves both when both are under it",
        )
    channels = (volume_node, *channels_of(segmentation_node))
    _require_one_grid(channels)
    task = task_of(segmentation_node) if is_result else None
    names = tuple(channel_names) or (() if task is None else task.inputs or (task.modality,))
    frame = segmentation_node.GetAttribute(f"{PREFIX}{FRAME}") or ""
    return TrainingCase(
        f"{volume_node.GetName()} {frame}".strip(),
        tuple(sitk_of(node) for node in channels),
        tuple(_structures(segmentation_node, volume_node)),
        patient_of(volume_node),
        names,
        "" if task is None else task.anatomy,
    )


def image_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume that a segmentation belongs to: the one that was segmented, or on which it was drawn.

    Raises:
        InputError: there is none, or it is no image of one value per voxel.
    """
    drawn_on = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for role in (INPUT_ROLE, drawn_on):
        volume_node = segmentation_node.GetNodeReference(role)
        if volume_node is not None:
            require_scalar_image(volume_node)
            return volume_node
    raise InputError(
        "the image of this segmentation is not in the scene", file=segmentation_node.GetName(), remedy="Load it"
    )


def sitk_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> sitk.Image:
    """The voxels of a volume in their own type, with its place in the world, linear parent transforms included.

    Raises:
        InputError: a voxel is not finite, or the axes are not at right angles, which no image file can say.
    """
    if finite_share(volume_node) < 1.0:
        raise InputError(
            "voxels are NaN or infinite", file=volume_node.GetName(), remedy="Make a copy of the volume without them"
        )
    ijk_to_lps = LPS_TO_RAS @ world_ijk_to_ras(volume_node)
    spacing_mm = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    direction = ijk_to_lps[:3, :3] / spacing_mm
    if not np.allclose(direction.T @ direction, np.eye(3), atol=TOLERANCE):
        raise InputError(
            "the axes of the volume are not at right angles",
            file=volume_node.GetName(),
            remedy="Resample it, for example with the module Resample Scalar/Vector/DWI Volume",
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(slicer.util.arrayFromVolume(volume_node)))
    image.SetSpacing([float(size) for size in spacing_mm])
    image.SetOrigin([float(value) for value in ijk_to_lps[:3, 3]])
    image.SetDirection([float(value) for value in direction.ravel()])
    return image


def _structures(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> list[Structure]:
    segmentation = segmentation_node.GetSegmentation()
    noted = json.loads(segmentation_node.GetAttribute(SEGMENTS_AS_MADE) or "{}").get("segments", [])
    made_names = {str(one[0]): str(one[1]) for one in noted}
    shape = slicer.util.arrayFromVolume(volume_node).shape
    found = []
    for segment_id in segmentation.GetSegmentIDs():
        title = segmentation.GetSegment(segment_id).GetName()
        mask = None
        if segmentation.GetSegment(segment_id).GetRepresentation(LABELMAP) is not None:
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
        voxels = np.zeros(shape, dtype=bool) if mask is None else mask > 0
        # The ID of a segment that a model made is the name of its label, unless somebody has renamed the segment since.
        name = segment_id if made_names.get(segment_id) == title else title
        found.append(Structure(name, voxels, title))
    return found


def _require_one_grid(channels: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
    first = channels[0]
    shape, place = slicer.util.arrayFromVolume(first).shape, world_ijk_to_ras(first)
    for node in channels[1:]:
        require_scalar_image(node)
        is_same = slicer.util.arrayFromVolume(node).shape == shape
        if not is_same or not np.allclose(world_ijk_to_ras(node), place, atol=1e-3):
            raise InputError(
                f"the channels {first.GetName()} and {node.GetName()} are not on one grid",
                file=node.GetName(),
                remedy="Resample it onto the grid of the first channel, and segment again",
            )
