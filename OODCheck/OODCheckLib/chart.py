"""Charts of the scene that belong to a volume, and the columns of their tables."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE

OWNED = f"{PREFIX}Chart"


def column_of(title: str, values: Sequence[float] | Sequence[str]) -> vtk.vtkAbstractArray:
    """A column for a table node, of text or of numbers."""
    is_text = bool(values) and isinstance(values[0], str)
    column = vtk.vtkStringArray() if is_text else vtk.vtkDoubleArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(value)
    return column


def show_chart(chart: slicer.vtkMRMLPlotChartNode | None) -> None:
    """Show a chart in a plot view; does nothing without one."""
    if chart is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chart)


def own_chart(volume_node: slicer.vtkMRMLScalarVolumeNode, role: str, chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Note on a volume that a chart belongs to it in a role, and on the chart to which volume."""
    volume_node.SetNodeReferenceID(role, chart.GetID())
    chart.SetNodeReferenceID(INPUT_ROLE, volume_node.GetID())
    chart.SetAttribute(OWNED, "1")


def chart_of(volume_node: slicer.vtkMRMLScalarVolumeNode, role: str) -> slicer.vtkMRMLPlotChartNode | None:
    """The chart that belongs to a volume in a role; a clone of a volume refers to that of the original."""
    chart = volume_node.GetNodeReference(role)
    return chart if chart is not None and chart.GetNodeReferenceID(INPUT_ROLE) == volume_node.GetID() else None


def remove_chart(volume_node: slicer.vtkMRMLScalarVolumeNode, role: str) -> None:
    """Remove the chart of a volume in a role with its series and tables, and charts whose volumes are gone."""
    scene, chart = volume_node.GetScene(), chart_of(volume_node, role)
    volume_node.RemoveNodeReferenceIDs(role)
    if chart is not None:
        _remove(chart)
    for other in slicer.util.getNodesByClass("vtkMRMLPlotChartNode", scene):
        if other.GetAttribute(OWNED) is not None and other.GetNodeReference(INPUT_ROLE) is None:
            _remove(other)


def _remove(chart: slicer.vtkMRMLPlotChartNode) -> None:
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = {node.GetTableNode() for node in series if node is not None}
    scene = chart.GetScene()
    for node in (chart, *series, *tables):
        if node is not None:
            scene.RemoveNode(node)
