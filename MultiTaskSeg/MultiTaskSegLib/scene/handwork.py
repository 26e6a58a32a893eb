"""Whether a result is still as it was made: nothing that somebody has edited or renamed is ever removed."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.image_record import array_fingerprint
from MultiTaskSegLib.scene.node.segment_print import LABELMAP, segment_prints, voxels_of

NAME_AS_MADE, SEGMENTS_AS_MADE = f"{PREFIX}AsMade.Name", f"{PREFIX}AsMade.Segments"
VOXELS_AS_MADE = f"{PREFIX}AsMade.Voxels"


def seal_name(node: slicer.vtkMRMLNode) -> None:
    """Note the name that a node was given."""
    node.SetAttribute(NAME_AS_MADE, node.GetName())


def has_name_as_made(node: slicer.vtkMRMLNode) -> bool:
    """Whether a node still has the name that it was given; no where that was not noted."""
    return bool(node.GetAttribute(NAME_AS_MADE) == node.GetName())


def seal_segments(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    labels: NDArray[np.uint8],
    regions: NDArray[np.bool_] | None = None,
) -> None:
    """Note the segments that were made from ``labels`` ``(Z, Y, X)``, or from ``regions`` ``(R, Z, Y, X)``."""
    noted = {"labels": array_fingerprint(labels), "segments": _segments(segmentation_node)}
    if regions is not None:
        noted["regions"] = [array_fingerprint(region.astype(np.uint8)) for region in regions]
    segmentation_node.SetAttribute(SEGMENTS_AS_MADE, json.dumps(noted))


def seal_voxels(segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Note the voxels of each segment as they were made, by which those are told that somebody has corrected."""
    prints = segment_prints(segmentation_node, volume_node)
    segmentation_node.SetAttribute(VOXELS_AS_MADE, json.dumps(prints))


def changed_segments(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> dict[str, int]:
    """Number of voxels, by ID, of the segments whose voxels are not those that they were made with.

    Segments that somebody has added are none of these, nor are such that have their own voxels again; and none is
    where the voxels were not noted.
    """
    noted = json.loads(segmentation_node.GetAttribute(VOXELS_AS_MADE) or "{}")
    now = segment_prints(segmentation_node, volume_node) if noted else {}
    return {one: voxels_of(found) for one, found in now.items() if noted.get(one, found) != found}


def is_as_made(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
    others: Iterable[slicer.vtkMRMLNode] = (),
) -> bool:
    """Whether a segmentation, and other nodes of the same result, have their names, and its segments their voxels.

    Where it cannot be told, as without the volume that it was made from, the answer is no.
    """
    if not all(map(has_name_as_made, (segmentation_node, *others))):
        return False
    return has_segments_as_made(segmentation_node, volume_node)


def has_segments_as_made(
    segmentation_node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode | None
) -> bool:
    """Whether the segments have the names, colours and voxels that they were made with."""
    noted = json.loads(segmentation_node.GetAttribute(SEGMENTS_AS_MADE) or "null")
    if noted is None or volume_node is None or volume_node.GetImageData() is None:
        return False
    now = _segments(segmentation_node)
    if [one[:3] for one in now] != [one[:3] for one in noted["segments"]]:
        return False
    if "regions" in noted:
        return _regions(segmentation_node, volume_node, [one[0] for one in noted["segments"]]) == noted["regions"]
    labels = _labels(segmentation_node, volume_node, [(one[0], one[3]) for one in noted["segments"]])
    return labels is not None and array_fingerprint(labels) == noted["labels"]


def _segments(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[list[object]]:
    """ID, name, colour and value of each segment, in their order."""
    segmentation = segmentation_node.GetSegmentation()
    rows: list[list[object]] = []
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        colour = " ".join(f"{channel:.2f}" for channel in segment.GetColor())
        rows.append([segmentation.GetNthSegmentID(number), segment.GetName(), colour, segment.GetLabelValue()])
    return rows


def _regions(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segment_ids: list[str],
) -> list[str] | None:
    """Fingerprint of each segment on the grid of the volume, as far as there are any."""
    prints = []
    for segment_id in segment_ids:
        if segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation(LABELMAP) is None:
            return None
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
        prints.append("" if mask is None else array_fingerprint((mask > 0).astype(np.uint8)))
    return prints


def _labels(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    values: list[tuple[str, int]],
) -> NDArray[np.uint8] | None:
    """The segments as one array on the grid of the volume, ``(Z, Y, X)``; None where they overlap."""
    shared = _shared_labels(segmentation_node, volume_node, values)
    if shared is not None:
        return shared
    segmentation = segmentation_node.GetSegmentation()
    labels = np.zeros(slicer.util.arrayFromVolume(volume_node).shape, np.uint8)
    for segment_id, value in values:
        if segmentation.GetSegment(segment_id).GetRepresentation(LABELMAP) is None:
            return None
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
        if mask is None or mask.shape != labels.shape:
            return None
        inside = mask > 0
        if labels[inside].any():
            return None
        labels[inside] = value
    return labels


def _shared_labels(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    values: list[tuple[str, int]],
) -> NDArray[np.uint8] | None:
    """The one label image that all segments share as long as nobody edits them; None otherwise. Takes no time."""
    segments = [segmentation_node.GetSegmentation().GetSegment(segment_id) for segment_id, _ in values]
    images = {segment.GetRepresentation(LABELMAP) for segment in segments}
    is_same_value = all(segment.GetLabelValue() == value for segment, (_, value) in zip(segments, values, strict=True))
    image = images.pop() if len(images) == 1 else None
    shape = slicer.util.arrayFromVolume(volume_node).shape
    if image is None or not is_same_value or tuple(reversed(image.GetDimensions())) != shape:
        return None
    place, wanted = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(place)
    volume_node.GetIJKToRASMatrix(wanted)
    if not np.allclose(slicer.util.arrayFromVTKMatrix(place), slicer.util.arrayFromVTKMatrix(wanted), atol=1e-4):
        return None
    labels: NDArray[np.uint8] = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return labels if labels.dtype == np.uint8 else None
