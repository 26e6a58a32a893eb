"""Everything that a finished segmentation adds to the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job import JobResult
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.earlier_result import (
    KEEP,
    REPLACE,
    earlier_results,
    is_good,
    is_good_report,
    link_result,
    remove_result,
    require_choice,
)
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.result_table import add_table, segment_rows
from MultiTaskSegLib.scene.segmentation import add_segmentation, mark_as_doubtful

SUFFIXES = ("segmentation", "uncertainty", "segments")
KEPT = "the earlier result was kept, because this one is out of distribution or empty: remove which you do not want"


@dataclass(frozen=True)
class SegmentationResult:
    """The nodes of one result.

    Attributes:
        segmentation: one segment per label of the task.
        uncertainty: scalar volume in [0, 1] on the grid of the input.
        table: volume, mean confidence, predicted Dice and uncertain volume of each segment.
        ood: the verdict on the image.
        report: all of ``report.json``.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode
    table: slicer.vtkMRMLTableNode
    ood: Verdict
    report: dict[str, Any]


def add_result(
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    found: JobResult,
    existing: str = KEEP,
    parameters: Mapping[str, Any] | None = None,
) -> SegmentationResult:
    """Add segmentation, heatmap and table to the scene of the volume; verdict and origin go onto all of them.

    Args:
        volume_node: the volume that was segmented.
        found: what the worker sent.
        existing: ``keep`` leaves earlier results of the same volume and task beside the new one; ``replace`` removes
            them, but never a good one for a result that is out of distribution or empty.
        parameters: what was asked for, as a note on the nodes.

    Raises:
        InputError: the volume has changed its size meanwhile.
        ResourceError: the job brought no labels.
        UsageError: ``existing`` is neither ``keep`` nor ``replace``.
    """
    require_choice(existing)
    if found.labels is None or found.uncertainty is None:
        raise ResourceError("the worker sent no labels", remedy="Start the run again")
    earlier = earlier_results(volume_node, str(found.report.get("task")))
    report = {**found.report, "warnings": list(found.report.get("warnings", []))}  # it may get one more below
    result = _add_nodes(volume_node, replace(found, report=report))
    if existing == REPLACE:
        _replace(earlier, result)
    _describe(volume_node, result, parameters)
    return result


def _add_nodes(volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult) -> SegmentationResult:
    names = _names(volume_node, found.verdict)
    segmentation = add_segmentation(volume_node, found.labels, found.legend, names[0])
    uncertainty = add_heatmap(volume_node, found.uncertainty, names[1])
    voxel_volume_mm3 = float(np.prod(volume_node.GetSpacing()))
    rows = segment_rows(found.report, found.legend, found.labels, found.uncertainty, voxel_volume_mm3)
    table = add_table(volume_node, rows, names[2])
    if found.verdict.is_ood:
        mark_as_doubtful(segmentation)
    return SegmentationResult(segmentation, uncertainty, table, found.verdict, found.report)


def _replace(earlier: Sequence[slicer.vtkMRMLSegmentationNode], result: SegmentationResult) -> None:
    """Remove earlier results only now that the new one is there, and good ones only for a good one."""
    deserves = is_good_report(result.report)
    kept = [node for node in earlier if is_good(node) and not deserves]
    for node in earlier:
        if node not in kept:
            remove_result(node)
    if kept:
        result.report["warnings"].append(KEPT)


def _describe(
    volume_node: slicer.vtkMRMLScalarVolumeNode, result: SegmentationResult, parameters: Mapping[str, Any] | None
) -> None:
    nodes = (result.segmentation, result.uncertainty, result.table)
    link_result(volume_node, *nodes)
    for node, name in zip(nodes, _names(volume_node, result.ood), strict=True):
        scene = node.GetScene()
        if scene.GetFirstNodeByName(name) is not node:
            node.SetName(scene.GenerateUniqueName(name))
        attributes.write_provenance(node, result.report, __version__, parameters)
    for node in (*nodes, volume_node):
        attributes.write_verdict(node, result.ood)


def _names(volume_node: slicer.vtkMRMLVolumeNode, verdict: Verdict) -> list[str]:
    return [attributes.flagged_name(f"{volume_node.GetName()} {suffix}", verdict) for suffix in SUFFIXES]
