"""Segments of a run in a segmentation that somebody edits: beside what is there, each with the verdict on its image."""

from __future__ import annotations

import json

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.algorithm_tag import SEMIAUTOMATIC, tag_algorithm
from MultiTaskSegLib.scene.attributes import PREFIX, VERDICT_WORDS, flagged_name
from MultiTaskSegLib.scene.segmentation import legend_segments
from MultiTaskSegLib.verdict_words import UNCHECKED


def require_place(
    volume_node: slicer.vtkMRMLScalarVolumeNode, segmentation_node: slicer.vtkMRMLSegmentationNode | None
) -> None:
    """Refuse a segmentation into which the labels of a volume cannot go as they are.

    Raises:
        InputError: there is none, it has been removed, or it is under another transform than the volume.
    """
    if segmentation_node is None or segmentation_node.GetScene() is None:
        raise InputError("there is no segmentation to add the segments to", remedy="Select one and try again")
    if segmentation_node.GetParentTransformNode() is not volume_node.GetParentTransformNode():
        raise InputError(
            "the segmentation and the volume are under different transforms",
            file=segmentation_node.GetName(),
            remedy="Put both under the same one",
        )


def add_segments(
    volume_node: slicer.vtkMRMLScalarVolumeNode, segmentation_node: slicer.vtkMRMLSegmentationNode, found: JobResult
) -> list[str]:
    """Add what was found, one segment per structure that has voxels; their IDs.

    Existing segments are left as they are, also where new ones overlap them. The name of a segment of an image out of
    distribution says so, and each has the verdict, the model and the task as tags.

    Raises:
        InputError: the volume has changed its size meanwhile.
        ResourceError: the job brought no labels.
    """
    if found.labels is None:
        raise ResourceError("the worker sent no labels", remedy="Start the run again")
    segments = legend_segments(volume_node, found.labels, found.legend, found.regions)
    present = {label["value"] for label in found.report.get("labels", []) if label["voxels"]}
    segmentation, ids = segmentation_node.GetSegmentation(), []
    try:
        _add_present(segmentation, ids, found, present, segments)
    except BaseException:
        for segment_id in ids:
            segmentation.RemoveSegment(segment_id)
        raise
    return ids


def _add_present(
    segmentation: slicer.vtkSegmentation,
    ids: list[str],
    found: JobResult,
    present: set[int],
    segments: list[slicer.vtkSegment],
) -> None:
    for entry, segment in zip(found.legend, segments, strict=True):
        if entry["value"] not in present:
            continue
        segment.SetName(flagged_name(segment.GetName(), found.verdict))
        tag_algorithm(segment, SEMIAUTOMATIC, found.report)
        for key, value in _tags(found).items():
            segment.SetTag(f"{PREFIX}{key}", value)
        ids.append(segmentation.GenerateUniqueSegmentID(str(entry["name"])))
        segmentation.AddSegment(segment, ids[-1])


def _verdict_tags(verdict: Verdict | None) -> dict[str, str]:
    if verdict is None:
        return {"OOD": UNCHECKED}
    return {"OOD": VERDICT_WORDS[bool(verdict.is_ood)], "OOD.Verdict": json.dumps(verdict.as_dict())}


def _tags(found: JobResult) -> dict[str, str]:
    model = found.report.get("model", {})
    return {
        **_verdict_tags(found.verdict),
        "Model": str(model.get("name")),
        "Model.SHA256": str(model.get("sha256")),
        "Task": str(found.report.get("task")),
        "Version": __version__,
    }
