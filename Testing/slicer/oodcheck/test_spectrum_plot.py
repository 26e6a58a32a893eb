"""The spectrum plot of OODCheck, with Slicer's own table, series and chart nodes."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytestmark = pytest.mark.usefixtures("stand_ins", "session")

from MultiTaskSegLib.runtime.ood.explanation import BlockDifference
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.result_record import write_record
from Testing.slicer import scene_samples as samples

BAND = {
    "layer": "encoder1",
    "image": [2.0, 1.5, 0.25],
    "low": [1.0, 0.5, 0.0],
    "middle": [1.5, 1.0, 0.5],
    "high": [3.0, 2.0, 1.0],
}


VERDICT = Verdict(False, 1.0, 1.5, 0.5, "Dataset001_hearts", {"Dataset001_hearts": 1.0})


@pytest.fixture
def spectrum_plot(stand_ins, session):
    from Testing.slicer.stand_ins.panel import load_module

    load_module("OODCheck")
    return importlib.import_module("OODCheckLib.spectrum_plot")


def checked(spectrum_plot, name: str = "Scan", band=BAND):
    """A volume with a verdict and the spectrum that goes with it."""
    volume = samples.volume(name=name)
    write_record(volume, ImageRecord.of(volume), {"ood": VERDICT.as_dict()})
    spectrum_plot.keep_spectrum(volume, band, VERDICT)
    return volume


def counts() -> list[int]:
    classes = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
    return [slicer.mrmlScene.GetNumberOfNodesByClass(name) for name in classes]


def series_of(chart) -> list:
    return [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]


def test_each_series_draws_its_column_of_the_band(spectrum_plot):
    chart = spectrum_plot.spectrum_chart(checked(spectrum_plot))
    drawn = {}
    for series in series_of(chart):
        table = series.GetTableNode().GetTable()
        x, y = (table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName()))
        assert [x.GetValue(row) for row in range(3)] == [1.0, 2.0, 3.0]
        drawn[series.GetName()] = [y.GetValue(row) for row in range(3)]
    assert drawn == {
        "5th percentile": BAND["low"],
        "median": BAND["middle"],
        "95th percentile": BAND["high"],
        "this image": BAND["image"],
    }
    assert chart.GetTitle() == "Scan: encoder1"
    assert "band of hearts" in chart.GetXAxisTitle()


def test_no_node_of_a_chart_has_the_name_of_an_image(spectrum_plot):
    for name in ("median", "Scan"):
        volume = checked(spectrum_plot, name)
        spectrum_plot.spectrum_chart(volume)
        assert slicer.util.getNode(name) is volume
    names = [slicer.mrmlScene.GetNthNode(index).GetName() for index in range(slicer.mrmlScene.GetNumberOfNodes())]
    drawn = [node.GetName() for node in series_of(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode"))]
    assert [names.count(name) for name in drawn] == [1, 1, 1, 1]


def test_the_scene_has_one_chart_of_spectra_whatever_is_shown_in_it(spectrum_plot):
    for name in ("Scan", "Other", "Third"):
        spectrum_plot.spectrum_chart(checked(spectrum_plot, name))
    assert counts() == [1, 4, 1]
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetTitle().startswith("Third")
    slicer.mrmlScene.RemoveNode(series_of(chart)[1])  # as a user may do
    spectrum_plot.spectrum_chart(checked(spectrum_plot))
    assert counts() == [1, 4, 1]


def test_a_spectrum_goes_with_the_verdict_that_it_explains(spectrum_plot):
    volume = checked(spectrum_plot)
    write_record(
        volume, ImageRecord.of(volume), {"ood": dataclasses.replace(VERDICT, score=1.1).as_dict()}
    )  # by another model
    assert spectrum_plot.spectrum_chart(volume) is None
    spectrum_plot.keep_spectrum(volume, None, VERDICT)
    write_record(volume, ImageRecord.of(volume), {"ood": VERDICT.as_dict()})
    assert spectrum_plot.spectrum_chart(volume) is None
    assert spectrum_plot.spectrum_chart(samples.volume(name="unchecked")) is None
    assert counts() == [0, 0, 0]


def test_the_legend_has_room_above_the_curves(spectrum_plot):
    chart = spectrum_plot.spectrum_chart(checked(spectrum_plot))
    low, high = chart.GetYAxisRange()
    assert not chart.GetYAxisRangeAuto()
    assert (low, high) == (0.0, pytest.approx(3.0 + 0.4 * 3.0))


def test_a_long_name_is_cut_in_the_middle_for_the_title(spectrum_plot):
    chart = spectrum_plot.spectrum_chart(checked(spectrum_plot, "a" * 50 + "b" * 50))
    assert chart.GetTitle() == f"{'a' * 10}...{'b' * 10}: encoder1"


def test_the_image_stands_out_from_the_band(spectrum_plot):
    series = series_of(spectrum_plot.spectrum_chart(checked(spectrum_plot)))
    colours = [node.GetColor() for node in series]
    np.testing.assert_allclose(colours[:3], [spectrum_plot.BLUE_RGB] * 3)
    np.testing.assert_allclose(colours[3], spectrum_plot.VERMILION_RGB)
    is_dashed = {node.GetYColumnName(): node.GetLineStyle() == node.LineStyleDash for node in series}
    assert is_dashed == {"low": True, "middle": False, "high": True, "image": False}


def test_the_layer_whose_spectrum_differs_most_is_plotted(spectrum_plot):
    blocks = [
        BlockDifference("encoder2", "means", 9.0, "", ""),
        BlockDifference("encoder1", "spectrum", 5.0, "small", ""),
        BlockDifference("encoder2", "spectrum", 4.0, "large", ""),
    ]
    spectra = [{**BAND, "layer": "encoder2"}, BAND]
    assert spectrum_plot.most_different_band(spectra, blocks) is BAND
    assert spectrum_plot.most_different_band(spectra, blocks[:1]) is None
    assert spectrum_plot.most_different_band([], blocks) is None
