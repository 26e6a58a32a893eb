"""The spectrum of an image against the band of the nearest task, as a plot chart of the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.scene.result_record import current_verdict
from OODCheckLib.chart import chart_of, column_of, own_chart, remove_chart

CHART_ROLE = "MultiTaskSeg.SpectrumChart"
SPECTRUM = "MultiTaskSeg.OOD.Spectrum"
# Blue for what is known and vermilion for the image: told apart also by colour-blind eyes.
KNOWN_RGB, IMAGE_RGB = (0.0, 0.447, 0.698), (0.835, 0.369, 0.0)


def add_spectrum_chart(
    volume_node: slicer.vtkMRMLScalarVolumeNode, band: Mapping[str, Any], task: str
) -> slicer.vtkMRMLPlotChartNode:
    """Add a chart of one layer's spectrum for a volume; it replaces the chart that the volume had.

    Args:
        volume_node: the image; refers to the chart in the role ``MultiTaskSeg.SpectrumChart``.
        band: ``layer``, ``image``, ``low``, ``middle`` and ``high``, see `SpectrumBand`.
        task: name of the nearest task.
    """
    remove_spectrum_chart(volume_node)
    scene = volume_node.GetScene()
    name = _("{image} spectrum").format(image=volume_node.GetName())
    table = _table(scene, name, band)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(_("{image}: spectrum of {layer}").format(image=volume_node.GetName(), layer=band["layer"]))
    chart.SetXAxisTitle(_("singular value, largest first"))
    chart.SetYAxisTitle(_("logarithm of the singular value"))
    titles = {
        "low": _("{task}, 5th percentile").format(task=task),
        "middle": _("{task}, median").format(task=task),
        "high": _("{task}, 95th percentile").format(task=task),
        "image": volume_node.GetName(),
    }
    for column, title in titles.items():
        chart.AddAndObservePlotSeriesNodeID(_series(table, column, title).GetID())
    own_chart(volume_node, CHART_ROLE, chart)
    return chart


def remove_spectrum_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove the chart of a volume with its series and table, if it has one."""
    remove_chart(volume_node, CHART_ROLE)


def spectrum_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLPlotChartNode | None:
    """The chart for the verdict on a volume, made when it is asked for; None without a spectrum of its voxels."""
    if not has_spectrum(volume_node):
        return None
    noted = json.loads(volume_node.GetAttribute(SPECTRUM))
    return chart_of(volume_node, CHART_ROLE) or add_spectrum_chart(volume_node, noted["band"], noted["task"])


def has_spectrum(volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the voxels of a volume have been checked and their spectrum was noted."""
    return volume_node.GetAttribute(SPECTRUM) is not None and current_verdict(volume_node) is not None


def write_spectrum(volume_node: slicer.vtkMRMLScalarVolumeNode, band: Mapping[str, Any], task: str) -> None:
    """Note the spectrum of one layer on a volume: ``band`` and ``task`` as of `add_spectrum_chart`."""
    volume_node.SetAttribute(SPECTRUM, json.dumps({"band": dict(band), "task": task}))


def most_different_band(spectra: Sequence[Mapping[str, Any]], blocks: Sequence[Any]) -> Mapping[str, Any] | None:
    """The band of the layer whose spectrum differs most; None without spectra.

    Args:
        spectra: one per layer.
        blocks: `BlockDifference` objects, the most different first.
    """
    by_layer = {band["layer"]: band for band in spectra}
    ordered = [block.layer for block in blocks if block.part == "spectrum" and block.layer in by_layer]
    return by_layer[ordered[0]] if ordered else None


def _table(scene: slicer.vtkMRMLScene, name: str, band: Mapping[str, Any]) -> slicer.vtkMRMLTableNode:
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    columns = {"number": np.arange(1, len(band["image"]) + 1)}
    columns |= {part: band[part] for part in ("low", "middle", "high", "image")}
    for title, values in columns.items():
        node.AddColumn(column_of(title, [float(value) for value in values]))
    return node


def _series(table: slicer.vtkMRMLTableNode, column: str, title: str) -> slicer.vtkMRMLPlotSeriesNode:
    node = table.GetScene().AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName("number")
    node.SetYColumnName(column)
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    is_limit = column in ("low", "high")
    dashed, solid = slicer.vtkMRMLPlotSeriesNode.LineStyleDash, slicer.vtkMRMLPlotSeriesNode.LineStyleSolid
    node.SetLineStyle(dashed if is_limit else solid)
    node.SetLineWidth(3 if column == "image" else 2)
    node.SetColor(*(IMAGE_RGB if column == "image" else KNOWN_RGB))
    return node
