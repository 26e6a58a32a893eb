"""The distances of an image to each task as a bar chart of the scene."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.result_record import current_verdict
from OODCheckLib.chart import column_of, own_chart, remove_chart
from OODCheckLib.distance_bars import SHOWN_TASKS, nearest_first

CHART_ROLE = "MultiTaskSeg.DistanceChart"
BAR_RGB, LIMIT_RGB = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)


def add_distance_chart(volume_node: slicer.vtkMRMLScalarVolumeNode, verdict: Verdict) -> slicer.vtkMRMLPlotChartNode:
    """Add a chart of the distances to the nearest tasks, with the limit as a line; it replaces an earlier one.

    The volume refers to it in the role ``MultiTaskSeg.DistanceChart``.
    """
    remove_distance_chart(volume_node)
    scene = volume_node.GetScene()
    name = _("{image} distances").format(image=volume_node.GetName())
    shown = nearest_first(verdict)[:SHOWN_TASKS]
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    table.AddColumn(column_of("task", [task for task, _distance in shown]))
    table.AddColumn(column_of("distance", [distance for _task, distance in shown]))
    table.AddColumn(column_of("limit", [verdict.threshold] * len(shown)))
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(_("{image}: distance to each training task").format(image=volume_node.GetName()))
    chart.SetXAxisTitle(_("training task, nearest first"))
    chart.SetYAxisTitle(_("distance (1 is typical)"))
    kinds = slicer.vtkMRMLPlotSeriesNode
    for column, title, kind, colour in (
        ("distance", _("distance"), kinds.PlotTypeBar, BAR_RGB),
        ("limit", _("limit"), kinds.PlotTypeLine, LIMIT_RGB),
    ):
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetYColumnName(column)
        series.SetLabelColumnName("task")
        series.SetPlotType(kind)
        series.SetColor(*colour)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    own_chart(volume_node, CHART_ROLE, chart)
    return chart


def remove_distance_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove the chart of a volume with its series and table, if it has one."""
    remove_chart(volume_node, CHART_ROLE)


def distance_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLPlotChartNode | None:
    """The chart for the verdict on a volume as it is now; None for one that has not been checked since it changed."""
    verdict = current_verdict(volume_node)
    return None if verdict is None else add_distance_chart(volume_node, verdict)
