"""Which segments of a result somebody has corrected: marked on the segment and in the table, as long as it is so.

What counts is the voxels, compared with those that the run made: however they were changed, in whichever module, it is
noticed; and a segment that gets its own voxels back, by *Undo* or by hand, is the model's again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import slicer

from MultiTaskSegLib.correction.image_place import was_moved_apart
from MultiTaskSegLib.scene.algorithm_tag import tag_correction
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, TABLE_ROLE
from MultiTaskSegLib.scene.handwork import changed_segments
from MultiTaskSegLib.scene.node.measured_column import clear_outdated
from MultiTaskSegLib.scene.result_table import SEGMENT_ID, SegmentRow, rewrite_row, rows_of
from MultiTaskSegLib.scene.uncertain_region import MM3_PER_ML
from MultiTaskSegLib.scene.volume import voxel_volume_mm3

CORRECTED_TAG, YES = f"{PREFIX}Corrected", "yes"
ROWS_AS_MADE = f"{PREFIX}AsMade.Rows"
"""Attribute of a table: the rows of segments that were corrected, as the run made them."""


def corrected_segments(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """IDs of the segments that are marked as corrected; looks at no voxels."""
    segmentation = segmentation_node.GetSegmentation()
    return [one for one in segmentation.GetSegmentIDs() if is_marked(segmentation.GetSegment(one))]


def is_marked(segment: slicer.vtkSegment) -> bool:
    """Whether a segment carries the mark."""
    return bool(segment.HasTag(CORRECTED_TAG))


def mark_corrections(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Compare the segments of a result with what the run made, and mark those that were corrected; their IDs.

    A corrected segment gets the tag ``MultiTaskSeg.Corrected`` and Segment Algorithm Type SEMIAUTOMATIC; in the table
    its volume is that of now, and what the model said of it (confidence, Dice, uncertain volume) is left out. All of
    that is taken back when its voxels are the model's again. What was measured of other voxels than those of now, by
    Segment Statistics or against a reference, is left out until it is measured again.

    Results of earlier versions, whose voxels were not noted, results without their image, and those whose image was
    moved while the segments stayed, are left as they are.

    Raises:
        InputError: the image is under a transform that is not linear.
    """
    volume_node = segmentation_node.GetNodeReference(INPUT_ROLE)
    if volume_node is None or volume_node.GetImageData() is None:
        return corrected_segments(segmentation_node)
    one_voxel_mm3 = voxel_volume_mm3(volume_node)  # first: all is marked, or nothing
    if was_moved_apart(segmentation_node, volume_node):
        return corrected_segments(segmentation_node)
    voxels = changed_segments(segmentation_node, volume_node)
    segmentation = segmentation_node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment, is_corrected = segmentation.GetSegment(segment_id), segment_id in voxels
        if is_corrected != is_marked(segment):
            _mark(segment, is_corrected)
    if (table := segmentation_node.GetNodeReference(TABLE_ROLE)) is not None:
        _tell_in_table(table, voxels, one_voxel_mm3)
        clear_outdated(table, SEGMENT_ID, segmentation_node, volume_node)
    return list(voxels)


def _mark(segment: slicer.vtkSegment, is_corrected: bool) -> None:
    if is_corrected:
        segment.SetTag(CORRECTED_TAG, YES)
    else:
        segment.RemoveTag(CORRECTED_TAG)
    tag_correction(segment, is_corrected)


def _tell_in_table(table: slicer.vtkMRMLTableNode, voxels: Mapping[str, int], one_voxel_mm3: float) -> None:
    """Rewrite the rows of segments that were corrected, and of those that no longer are."""
    made = json.loads(table.GetAttribute(ROWS_AS_MADE) or "{}")
    for row in rows_of(table):
        if row.segment_id in voxels:
            made.setdefault(row.segment_id, asdict(row))
            rewritten = _corrected_row(row, voxels[row.segment_id], one_voxel_mm3)
        else:
            rewritten = SegmentRow(**made.pop(row.segment_id)) if row.segment_id in made else row
        if rewritten != row:
            rewrite_row(table, rewritten)
    if made or table.GetAttribute(ROWS_AS_MADE):
        table.SetAttribute(ROWS_AS_MADE, json.dumps(made))


def _corrected_row(row: SegmentRow, voxels: int, one_voxel_mm3: float) -> SegmentRow:
    """Size as it is now; nothing that the model said."""
    volume_ml = None if row.volume_ml is None else voxels * one_voxel_mm3 / MM3_PER_ML
    return SegmentRow(row.segment_id, row.name, volume_ml, None, None, None, voxels, is_corrected=True)


def results_in(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSegmentationNode]:
    """The segmentations of a scene that a run has made."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    return [node for node in nodes if node.GetNodeReferenceID(INPUT_ROLE) is not None]
