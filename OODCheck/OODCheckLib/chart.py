"""Charts of the scene that belong to a volume, and the columns of their tables."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk


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


def remove_chart(volume_node: slicer.vtkMRMLScalarVolumeNode, role: str) -> None:
    """Remove the chart to which a volume refers in a role, with its series and tables; nothing where there is none."""
    chart = volume_node.GetNodeReference(role)
    if chart is None:
        return
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = {node.GetTableNode() for node in series if node is not None}
    volume_node.RemoveNodeReferenceIDs(role)
    for node in (chart, *series, *tables):
        if node is not None:
            volume_node.GetScene().RemoveNode(node)
