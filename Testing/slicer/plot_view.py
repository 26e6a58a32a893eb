"""Draws a chart node off-screen with the VTK classes and settings of Slicer's plot view (``qMRMLPlotView.cxx``)."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtkmodules.vtkRenderingContextOpenGL2  # noqa: F401 (else nothing is drawn)
from vtkmodules.vtkChartsCore import vtkAxis, vtkChartXY, vtkPlotBar, vtkPlotLine, vtkPlotPoints
from vtkmodules.vtkIOImage import vtkPNGWriter
from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter
from vtkmodules.vtkViewsContext2D import vtkContextView

SIZE = (460, 390)  # of the plot view in the layout that Slicer takes, in a window of 1500 x 950 pixels


def draw_chart(node: slicer.vtkMRMLPlotChartNode, path: Path) -> None:
    """Write a PNG of a chart."""
    chart = vtkChartXY()
    chart.SetShowLegend(node.GetLegendVisibility())
    chart.SetTitle(node.GetTitle())
    chart.GetTitleProperties().SetFontSize(node.GetTitleFontSize())
    chart.GetLegend().SetLabelSize(node.GetLegendFontSize())
    axes = (
        (vtkAxis.BOTTOM, node.GetXAxisTitle(), node.GetXAxisRange()),
        (vtkAxis.LEFT, node.GetYAxisTitle(), node.GetYAxisRange()),
    )
    for number, title, limits in axes:
        axis = chart.GetAxis(number)
        axis.SetTitle(title)
        axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize())
        axis.GetTitleProperties().SetBold(False)
        axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize())
        axis.SetBehavior(vtkAxis.FIXED)
        axis.SetUnscaledRange(*limits)
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        chart.AddPlot(_plot(node.GetNthPlotSeriesNode(index)))
    view = vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(1)
    view.GetRenderWindow().SetSize(*SIZE)
    view.GetRenderWindow().SetMultiSamples(0)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    view.GetScene().AddItem(chart)
    view.Render()
    picture = vtkWindowToImageFilter()
    picture.SetInput(view.GetRenderWindow())
    picture.ReadFrontBufferOff()
    writer = vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(picture.GetOutputPort())
    writer.Write()


def _plot(series: slicer.vtkMRMLPlotSeriesNode) -> vtkPlotLine | vtkPlotBar:
    is_bar = series.GetPlotType() in (series.PlotTypeBar, series.PlotTypeScatterBar)
    plot = vtkPlotBar() if is_bar else vtkPlotLine()
    plot.SetWidth(series.GetLineWidth())
    plot.SetColorF(*series.GetColor())
    table = series.GetTableNode().GetTable()
    plot.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
    plot.SetLabel(series.GetName())
    if not is_bar:
        plot.SetMarkerStyle(vtkPlotPoints.NONE)
        plot.GetPen().SetLineType(2 if series.GetLineStyle() == series.LineStyleDash else 1)
    return plot
