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


def check_of(spectrum_plot, volume, layer: str = "encoder1") -> None:
    """What a check writes onto a volume."""
    report = {"ood": Verdict(False, 1.0, 1.5, 0.5, "hearts", {"hearts": 1.0}).as_dict()}
    write_record(volume, ImageRecord.of(volume), report)
    spectrum_plot.write_spectrum(volume, {**BAND, "layer": layer}, "hearts")
    spectrum_plot.remove_spectrum_chart(volume)


def test_a_chart_is_made_when_it_is_asked_for_and_a_new_check_replaces_it(spectrum_plot):
    volume, other = samples.volume(), samples.volume(name="Other")
    for node in (volume, other):
        check_of(spectrum_plot, node)
    assert counts() == [0, 0, 0]
    chart = spectrum_plot.spectrum_chart(volume)
    assert spectrum_plot.spectrum_chart(volume) is chart
    spectrum_plot.spectrum_chart(other)
    assert counts() == [2, 8, 2]
    check_of(spectrum_plot, volume, "encoder0")
    assert counts() == [1, 4, 1]
    assert "encoder0" in spectrum_plot.spectrum_chart(volume).GetTitle()


def test_a_clone_has_a_chart_of_its_own_and_checking_it_leaves_that_of_the_original(spectrum_plot):
    volume = samples.volume()
    check_of(spectrum_plot, volume)
    chart = spectrum_plot.spectrum_chart(volume)
    clone = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "Clone")
    assert spectrum_plot.spectrum_chart(clone) is not chart
    check_of(spectrum_plot, clone)
    assert spectrum_plot.spectrum_chart(volume) is chart


def test_a_chart_goes_with_its_volume_at_the_next_check(spectrum_plot):
    volume, other = samples.volume(), samples.volume(name="Other")
    check_of(spectrum_plot, volume)
    spectrum_plot.spectrum_chart(volume)
    slicer.mrmlScene.RemoveNode(volume)
    check_of(spectrum_plot, other)
    assert counts() == [0, 0, 0]


def test_a_spectrum_of_other_voxels_is_not_shown(spectrum_plot):
    volume = samples.volume()
    check_of(spectrum_plot, volume)
    slicer.util.updateVolumeFromArray(volume, np.zeros_like(slicer.util.arrayFromVolume(volume)))
    assert not spectrum_plot.has_spectrum(volume)
    assert spectrum_plot.spectrum_chart(volume) is None


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
