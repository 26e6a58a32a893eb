"""The spectrum plot of OODCheck, with Slicer's own table, series and chart nodes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
pytestmark = pytest.mark.usefixtures("stand_ins", "session")

from MultiTaskSegLib.runtime.ood.explanation import BlockDifference
from Testing.slicer import scene_samples as samples

BAND = {
    "layer": "encoder1",
    "image": [2.0, 1.5, 0.25],
    "low": [1.0, 0.5, 0.0],
    "middle": [1.5, 1.0, 0.5],
    "high": [3.0, 2.0, 1.0],
}


@pytest.fixture
def spectrum_plot():
    path = Path(__file__).resolve().parents[3] / "OODCheck" / "OODCheckLib" / "spectrum_plot.py"
    spec = importlib.util.spec_from_file_location("spectrum_plot_under_test", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def counts() -> list[int]:
    classes = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
    return [slicer.mrmlScene.GetNumberOfNodesByClass(name) for name in classes]


def test_each_series_draws_its_column_of_the_band(spectrum_plot):
    volume = samples.volume()
    chart = spectrum_plot.add_spectrum_chart(volume, BAND, "hearts")
    drawn = {}
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        table = series.GetTableNode().GetTable()
        x, y = (table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName()))
        assert [x.GetValue(row) for row in range(3)] == [1.0, 2.0, 3.0]
        drawn[series.GetName()] = [y.GetValue(row) for row in range(3)]
    assert drawn == {
        "hearts, 5th percentile": BAND["low"],
        "hearts, median": BAND["middle"],
        "hearts, 95th percentile": BAND["high"],
        "Scan": BAND["image"],
    }
    assert "encoder1" in chart.GetTitle()


def test_the_volume_refers_to_its_chart_and_a_new_check_replaces_it(spectrum_plot):
    volume, other = samples.volume(), samples.volume(name="Other")
    spectrum_plot.add_spectrum_chart(other, BAND, "hearts")
    spectrum_plot.add_spectrum_chart(volume, BAND, "hearts")
    once = counts()
    chart = spectrum_plot.add_spectrum_chart(volume, {**BAND, "layer": "encoder0"}, "hearts")
    assert spectrum_plot.spectrum_chart(volume) is chart
    assert counts() == once == [2, 8, 2]
    spectrum_plot.remove_spectrum_chart(volume)
    assert spectrum_plot.spectrum_chart(volume) is None
    assert counts() == [1, 4, 1]
    assert spectrum_plot.spectrum_chart(other) is not None


def test_a_volume_without_a_chart_has_none_to_remove(spectrum_plot):
    volume = samples.volume()
    spectrum_plot.remove_spectrum_chart(volume)
    assert spectrum_plot.spectrum_chart(volume) is None


def test_a_chart_whose_series_were_deleted_by_the_user_is_replaced_all_the_same(spectrum_plot):
    volume = samples.volume()
    chart = spectrum_plot.add_spectrum_chart(volume, BAND, "hearts")
    slicer.mrmlScene.RemoveNode(chart.GetNthPlotSeriesNode(1))
    spectrum_plot.add_spectrum_chart(volume, BAND, "hearts")
    assert counts() == [1, 4, 1]


def test_the_image_stands_out_from_the_band(spectrum_plot):
    chart = spectrum_plot.add_spectrum_chart(samples.volume(), BAND, "hearts")
    colours = [chart.GetNthPlotSeriesNode(index).GetColor() for index in range(4)]
    np.testing.assert_allclose(colours[:3], [spectrum_plot.KNOWN_RGB] * 3)
    np.testing.assert_allclose(colours[3], spectrum_plot.IMAGE_RGB)


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
