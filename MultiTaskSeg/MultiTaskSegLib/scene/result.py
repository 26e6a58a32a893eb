"""Everything that a finished segmentation adds to the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer

from MultiTaskSegLib import __version__
from MultiTaskSegLib.job import JobResult
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.segmentation import add_segmentation


@dataclass(frozen=True)
class SegmentationResult:
    """The nodes of one result.

    Attributes:
        segmentation: one segment per label of the task.
        uncertainty: scalar volume in [0, 1] on the grid of the input.
        ood: the verdict on the image.
        report: all of ``report.json``.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode
    ood: Verdict
    report: dict[str, Any]


def add_result(volume_node: slicer.vtkMRMLScalarVolumeNode, found: JobResult) -> SegmentationResult:
    """Add segmentation and heatmap to the scene of the volume, and the verdict and origin to both and to the volume.

    Raises:
        InputError: the volume has changed its size meanwhile.
        ResourceError: the job brought no labels.
    """
    if found.labels is None or found.uncertainty is None:
        raise ResourceError("the worker sent no labels", remedy="Start the run again")
    verdict = found.verdict
    names = [
        attributes.flagged_name(f"{volume_node.GetName()} {suffix}", verdict)
        for suffix in ("segmentation", "uncertainty")
    ]
    segmentation = add_segmentation(volume_node, found.labels, found.legend, names[0])
    uncertainty = add_heatmap(volume_node, found.uncertainty, names[1])
    for node in (segmentation, uncertainty):
        attributes.write_provenance(node, found.report, __version__)
    for node in (segmentation, uncertainty, volume_node):
        attributes.write_verdict(node, verdict)
    return SegmentationResult(segmentation, uncertainty, verdict, found.report)
