"""Measurements of a segmentation by Slicer's own module Segment Statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.scene.figure.measurement import Measurement

Figures = dict[tuple[str, str], float]
"""By segment and column."""


def measured(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
    wanted: Sequence[Measurement],
) -> Figures:
    """What is wanted of each segment, hidden ones included; nothing of empty ones.

    Args:
        segmentation_node: whose segments.
        volume_node: whose intensities; without one none are measured.
        wanted: which measurements.

    Raises:
        ResourceError: this Slicer has no module Segment Statistics.
    """
    logic = _logic()
    parameters = logic.getParameterNode()
    try:
        _ask(logic, parameters, segmentation_node, volume_node, wanted)
        logic.computeStatistics()
        found = logic.getStatistics()
        return {
            (segment_id, one.column): float(found[segment_id, one.long_key])
            for segment_id in found["SegmentIDs"]
            for one in wanted
            if (segment_id, one.long_key) in found
        }
    finally:
        slicer.mrmlScene.RemoveNode(parameters)


def has_statistics() -> bool:
    """Whether this Slicer has the module."""
    return hasattr(slicer.modules, "segmentstatistics")


def _logic() -> Any:
    try:
        from SegmentStatistics import SegmentStatisticsLogic
    except ImportError as error:
        raise ResourceError(
            "this Slicer has no module Segment Statistics", remedy="Turn it on in the settings, under Modules"
        ) from error
    return SegmentStatisticsLogic()


def _ask(
    logic: Any,
    parameters: Any,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
    wanted: Sequence[Measurement],
) -> None:
    """Only what is wanted: others, such as oriented boxes, take their time."""
    parameters.SetParameter("Segmentation", segmentation_node.GetID())
    parameters.SetParameter("visibleSegmentsOnly", "False")
    if volume_node is not None:
        parameters.SetParameter("ScalarVolume", volume_node.GetID())
    keys = {one.long_key for one in wanted}
    for plugin in logic.plugins:
        name = type(plugin).__name__
        is_wanted = any(key.startswith(f"{name}.") for key in keys)
        parameters.SetParameter(f"{name}.enabled", str(is_wanted))
        for key in plugin.keys:
            parameters.SetParameter(f"{name}.{key}.enabled", str(f"{name}.{key}" in keys))
