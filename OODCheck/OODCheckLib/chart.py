"""Charts of the scene, one of each kind whatever is shown in it, and the columns of their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

KIND_ATTRIBUTE = "MultiTaskSeg.Chart"
LONGEST_NAME = 24  # of an image in a title: more is clipped in a plot view of the usual width
TITLE_POINTS, AXIS_POINTS, LEGEND_POINTS = 14, 12, 11
# Blue for what is known and vermilion for the image or a limit: told apart also by colour-blind eyes.
BLUE_RGB, VERMILION_RGB = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)


@dataclass(frozen=True)
class Titles:
    """The texts of a chart. Two lines of an axis are separated by a line break."""

    chart: str
    x_axis: str
    y_axis: str


def new_chart(scene: slicer.vtkMRMLScene, kind: str, titles: Titles) -> slicer.vtkMRMLPlotChartNode:
    """An empty chart of a kind; the one that the scene had goes, with its series and tables.

    Its nodes have names of their own, never that of an image: ``getNode(name)`` has to find the image.
    """
    for earlier in slicer.util.getNodesByClass("vtkMRMLPlotChartNode", scene):
        if earlier.GetAttribute(KIND_ATTRIBUTE) == kind:
            _remove(earlier)
    chart = _add(scene, "vtkMRMLPlotChartNode", f"OOD Check {kind}")
    chart.SetAttribute(KIND_ATTRIBUTE, kind)
    chart.SetTitle(titles.chart)
    chart.SetXAxisTitle(titles.x_axis)
    chart.SetYAxisTitle(titles.y_axis)
    chart.SetTitleFontSize(TITLE_POINTS)
    chart.SetAxisTitleFontSize(AXIS_POINTS)
    chart.SetAxisLabelFontSize(AXIS_POINTS)
    chart.SetLegendFontSize(LEGEND_POINTS)
    return chart


def set_ranges(chart: slicer.vtkMRMLPlotChartNode, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    """Fix what the axes show; Slicer's own choice neither begins at 0 nor leaves room for the legend."""
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(*x_range)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(*y_range)


def add_table(
    chart: slicer.vtkMRMLPlotChartNode, columns: Mapping[str, Sequence[float] | Sequence[str]]
) -> slicer.vtkMRMLTableNode:
    """A table for series of a chart."""
    node = _add(chart.GetScene(), "vtkMRMLTableNode", f"{chart.GetName()} table")
    for title, values in columns.items():
        node.AddColumn(column_of(title, values))
    return node


def add_series(
    chart: slicer.vtkMRMLPlotChartNode,
    table: slicer.vtkMRMLTableNode,
    columns: tuple[str, str],
    title: str,
    colour: tuple[float, float, float],
) -> slicer.vtkMRMLPlotSeriesNode:
    """A line of ``columns`` (x, y) in a chart; the title is what the legend says."""
    node = _add(chart.GetScene(), "vtkMRMLPlotSeriesNode", title)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(columns[0])
    node.SetYColumnName(columns[1])
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    node.SetColor(*colour)
    chart.AddAndObservePlotSeriesNodeID(node.GetID())
    return node


def column_of(title: str, values: Sequence[float] | Sequence[str]) -> vtk.vtkAbstractArray:
    """A column for a table node, of text or of numbers."""
    is_text = bool(values) and isinstance(values[0], str)
    column = vtk.vtkStringArray() if is_text else vtk.vtkDoubleArray()
    column.SetName(title)
    for value in values:
        column.InsertNextValue(value)
    return column


def spread(first: float, last: float, count: int) -> list[float]:
    """Evenly spaced numbers."""
    return [float(number) for number in np.linspace(first, last, count)]


def short_title(name: str) -> str:
    """The name of an image for a title, without its middle where it is long."""
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 3) // 2
    return f"{name[:half]}...{name[-half:]}"


def show_chart(chart: slicer.vtkMRMLPlotChartNode | None) -> None:
    """Show a chart in a plot view; does nothing without one."""
    if chart is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chart)


def _add(scene: slicer.vtkMRMLScene, class_name: str, name: str) -> slicer.vtkMRMLNode:
    """A new node whose name no other node has."""
    return scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))


def _remove(chart: slicer.vtkMRMLPlotChartNode) -> None:
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = {node.GetTableNode() for node in series if node is not None}
    scene = chart.GetScene()
    for node in (chart, *series, *tables):
        if node is not None:
            scene.RemoveNode(node)
