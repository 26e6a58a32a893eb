"""Everything that a finished segmentation adds to the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import slicer

from MultiTaskSegLib.job import JobResult
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.algorithm_tag import AUTOMATIC, tag_algorithm
from MultiTaskSegLib.scene.earlier_result import (
    KEEP,
    REPLACE,
    earlier_results,
    is_good,
    is_good_report,
    is_handwork,
    link_result,
    remove_result,
    require_choice,
)
from MultiTaskSegLib.scene.handwork import seal_name, seal_segments, seal_voxels
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.node.added_nodes import all_or_nothing
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.scene.result_table import add_table, segment_rows
from MultiTaskSegLib.scene.segmentation import add_segmentation, mark_as_doubtful
from MultiTaskSegLib.scene.volume import voxel_volume_mm3
from MultiTaskSegLib.task_list import short_name

SEGMENTATION, UNCERTAINTY, SEGMENTS = "segmentation", "uncertainty", "segments"
KEPT = (
    "the earlier result was kept, because this one is out of distribution, not checked or empty: "
    "remove which you do not want"
)
KEPT_HANDWORK = "the earlier result was kept, because it was edited or renamed: remove which you do not want"


@dataclass(frozen=True)
class RunNotes:
    """What is noted when a run starts, and cannot be changed until its result is there.

    Attributes:
        parameters: what was asked for (task, model, device), as a note on the results.
        existing: what becomes of earlier results of the same volume and task: ``keep`` leaves them beside the new one,
            ``replace`` removes them, but never one that was edited or renamed, and never a good one for a result that
            is out of distribution, not checked or empty.
        record: the image; None for the volume as it is when the result comes.
        with_uncertainty: whether the uncertainty comes into the scene as a volume, too, of four bytes per voxel.
        further: volumes of the image's other channels, in their order.
    """

    parameters: Mapping[str, Any] | None = None
    existing: str = KEEP
    record: ImageRecord | None = None
    with_uncertainty: bool = True
    further: tuple[slicer.vtkMRMLScalarVolumeNode, ...] = ()


@dataclass(frozen=True)
class SegmentationResult:
    """The nodes of one result.

    Attributes:
        segmentation: one segment per label of the task.
        uncertainty: scalar volume in [0, 1] on the grid of the input; None where it was not wanted.
        table: volume, mean confidence, predicted Dice and uncertain volume of each segment.
        ood: the verdict on the image; None where it could not be checked.
        report: all of ``report.json``.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None
    table: slicer.vtkMRMLTableNode
    ood: Verdict | None
    report: dict[str, Any]

    @property
    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """All nodes of the result."""
        return [node for node in (self.segmentation, self.uncertainty, self.table) if node is not None]


def add_result(
    volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult, notes: RunNotes | None = None
) -> SegmentationResult:
    """Add segmentation, heatmap and table to the scene of the volume; verdict and origin go onto all of them.

    All is added, or nothing; earlier results go last.

    Args:
        volume_node: the volume that was segmented.
        found: what the worker sent.
        notes: what was noted when the run started.

    Raises:
        InputError: the volume is not what it was when the run started, or is under a non-linear transform.
        ResourceError: the job brought no labels.
        UsageError: there is no such choice for earlier results.
    """
    notes = notes or RunNotes()
    require_choice(notes.existing)
    if found.labels is None or found.uncertainty is None:
        raise ResourceError("the worker sent no labels", remedy="Start the run again")
    record = notes.record or ImageRecord.of(volume_node, notes.further)
    record.require_unchanged(volume_node, notes.further)
    earlier = earlier_results(volume_node, str(found.report.get("task")))
    report = {**found.report, "warnings": list(found.report.get("warnings", []))}  # it may get more below
    kept = [] if notes.existing != REPLACE else _kept(earlier, report)
    with all_or_nothing(volume_node.GetScene()):
        result = _add_nodes(volume_node, replace(found, report=report), notes.with_uncertainty)
        _describe(volume_node, result, record, notes)
    if notes.existing == REPLACE:
        for node in earlier:
            if node not in kept:
                remove_result(node)
        _take_free_names(volume_node, result, record)
    return result


def _kept(
    earlier: Sequence[slicer.vtkMRMLSegmentationNode], report: dict[str, Any]
) -> list[slicer.vtkMRMLSegmentationNode]:
    """Those earlier results that must not be removed; the report gets a warning for each reason."""
    deserves = is_good_report(report)
    handwork = [node for node in earlier if is_handwork(node)]
    better = [node for node in earlier if is_good(node) and not deserves]
    report["warnings"] += [*([KEPT_HANDWORK] if handwork else []), *([KEPT] if better else [])]
    return [*handwork, *better]


def _add_nodes(
    volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult, with_uncertainty: bool
) -> SegmentationResult:
    segmentation = add_segmentation(volume_node, found.labels, found.legend, SEGMENTATION, found.regions)
    for number in range(segmentation.GetSegmentation().GetNumberOfSegments()):
        tag_algorithm(segmentation.GetSegmentation().GetNthSegment(number), AUTOMATIC, found.report)
    uncertainty = add_heatmap(volume_node, found.uncertainty, UNCERTAINTY) if with_uncertainty else None
    one_voxel_mm3 = voxel_volume_mm3(volume_node)
    maps = (found.labels, found.uncertainty, one_voxel_mm3, found.regions)
    rows = segment_rows(found.report, found.legend, *maps)
    table = add_table(volume_node, rows, SEGMENTS)
    if found.verdict is not None and found.verdict.is_ood:
        mark_as_doubtful(segmentation)
    seal_segments(segmentation, found.labels, found.regions)
    seal_voxels(segmentation, volume_node)
    return SegmentationResult(segmentation, uncertainty, table, found.verdict, found.report)


def _describe(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    result: SegmentationResult,
    record: ImageRecord,
    notes: RunNotes,
) -> None:
    link_result(volume_node, result.segmentation, result.uncertainty, result.table)
    _take_free_names(volume_node, result, record)
    # Where only a region was looked at, what is known about the whole image stays.
    is_whole = "region" not in result.report or result.ood is not None
    for node in (*result.nodes, *([volume_node] if is_whole else [])):
        write_record(node, record, result.report, notes.parameters, notes.further)


def _take_free_names(
    volume_node: slicer.vtkMRMLScalarVolumeNode, result: SegmentationResult, record: ImageRecord
) -> None:
    """Name each node after volume, frame and task, with a number where the name is taken."""
    scene = volume_node.GetScene()
    kinds = ((result.segmentation, SEGMENTATION), (result.uncertainty, UNCERTAINTY), (result.table, SEGMENTS))
    for node, kind in kinds:
        if node is None:
            continue
        frame = f" [{record.frame}]" if record.frame else ""
        task = short_name(str(result.report.get("task")))
        name = attributes.flagged_name(f"{volume_node.GetName()}{frame} {kind} ({task})", result.ood)
        if node.GetName() != name or scene.GetFirstNodeByName(name) is not node:
            node.SetName(name if scene.GetFirstNodeByName(name) is None else scene.GenerateUniqueName(name))
        seal_name(node)
