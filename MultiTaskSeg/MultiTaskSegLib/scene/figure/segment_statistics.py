"""Measurements of a segmentation by Slicer's own module Segment Statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.scene.figure.measurement import Measurement
from MultiTaskSegLib.scene.volume import picture_ending

Figures = dict[tuple[str, str], float]
"""By segment and column."""
PARAMETERS = "vtkMRMLScriptedModuleNode"


def measured(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
    wanted: Sequence[Measurement],
    *,
    has_size: bool = True,
) -> Figures:
    """What is wanted of each segment, hidden ones included; nothing of empty ones, and nothing that is no number, such
    as the mean of intensities with NaN among them.

    Segment Statistics measures in the world, that is after all parent transforms. Of a picture, which has no size in
    millimetres, no lengths and areas are measured.

    Args:
        segmentation_node: whose segments.
        volume_node: whose intensities; without one none are measured.
        wanted: which measurements.
        has_size: whether the voxels have a size in millimetres, as far as the volume itself does not tell.

    Raises:
        ResourceError: this Slicer has no module Segment Statistics.
    """
    has_size = has_size and (volume_node is None or not picture_ending(volume_node))
    wanted = [one for one in wanted if has_size or not one.is_length]
    with _own_logic() as (logic, parameters):
        _ask(logic, parameters, segmentation_node, volume_node, wanted)
        logic.computeStatistics()
        found = logic.getStatistics()
        return {
            (segment_id, one.column): float(found[segment_id, one.long_key])
            for segment_id in found["SegmentIDs"]
            for one in wanted
            if np.isfinite(found.get((segment_id, one.long_key), np.nan))
        }


def require_statistics() -> None:
    """Refuse to promise figures that cannot be measured.

    Raises:
        ResourceError: this Slicer has no module Segment Statistics.
    """
    _logic_class()


@contextmanager
def _own_logic() -> Iterator[tuple[Any, Any]]:
    """The logic of the module with parameters of its own: a new one takes the first that it finds, which may be those
    that somebody has set up in the module, and forgets what was found with them."""
    scene = slicer.mrmlScene
    known = set(slicer.util.getNodesByClass(PARAMETERS, scene))
    theirs = {node: node.statistics for node in known if hasattr(node, "statistics")}
    try:
        logic = _logic_class()()
        for node, statistics in theirs.items():
            node.statistics = statistics
        parameters = scene.AddNewNodeByClass(PARAMETERS)
        logic.setParameterNode(parameters)
        yield logic, parameters
    finally:
        for node in set(slicer.util.getNodesByClass(PARAMETERS, scene)) - known:
            scene.RemoveNode(node)


def _logic_class() -> Any:
    try:
        from SegmentStatistics import SegmentStatisticsLogic
    except ImportError as error:
        raise ResourceError(
            "this Slicer has no module Segment Statistics", remedy="Turn it on in the settings, under Modules"
        ) from error
    return SegmentStatisticsLogic


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
