"""The panel of OODCheck ON STAND-IN WIDGETS (see ``stand_ins``), the real .ui file and a stand-in worker."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.result_record import write_record
from Testing.slicer import scene_samples as samples
from Testing.slicer.image_folder_sample import cells, choose_scope, write_folder


@pytest.fixture
def red_view(session):
    """The slice logic of a view, as made by Slicer's layout."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(session.application_logic)
    logic.SetMRMLScene(session.scene)
    logic.AddSliceNode("Red")
    return logic


def test_a_check_writes_the_verdict_onto_the_volume_and_shows_the_distances(open_panel, worker, finished):
    volume = samples.volume()
    widget = open_panel("OODCheck")
    finished(widget)
    text = widget.ui.resultLabel.text
    assert volume.GetAttribute("MultiTaskSeg.OOD") == "in distribution"
    assert "IN DISTRIBUTION" in text
    assert "p = 0.7; score 0.10, limit 0.40; nearest task: phantom" in text
    assert "Segment it with MultiTaskSeg" in text
    assert text.index(">1 phantom<") < text.index(">2 other<")


def test_a_check_says_why_and_offers_the_spectrum_that_differs_most(open_panel, worker, finished):
    checked, other = samples.volume(), samples.volume(name="other")
    widget = open_panel("OODCheck")
    widget.ui.inputSelector.setCurrentNode(checked)
    assert not widget.ui.spectrumButton.enabled
    finished(widget)
    assert "most different: the mean features of encoder1 (large structures)" in widget.ui.resultLabel.text
    assert widget.ui.spectrumButton.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 0  # not before it is wanted
    assert slicer.util.getNode("Scan") is checked
    widget.ui.spectrumButton.click()
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert "encoder0" in chart.GetTitle()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActivePlotChartID() == chart.GetID()
    widget.ui.inputSelector.setCurrentNode(other)
    assert not widget.ui.spectrumButton.enabled


def test_the_distances_are_drawn_as_bars_with_the_limit_as_a_line(open_panel, worker, finished):
    samples.volume()
    widget = open_panel("OODCheck")
    assert not widget.ui.distancesButton.enabled
    finished(widget)
    for _twice in range(2):
        widget.ui.distancesButton.click()
    chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    bars, limit = chart.GetNthPlotSeriesNode(0), chart.GetNthPlotSeriesNode(1)
    table = bars.GetTableNode().GetTable()
    assert bars.GetPlotType() == bars.PlotTypeScatterBar
    assert limit.GetPlotType() == limit.PlotTypeScatter
    assert [table.GetColumnByName("task").GetValue(row) for row in range(2)] == ["phantom", "other"]
    assert [table.GetColumnByName("distance").GetValue(row) for row in range(2)] == [0.1, 0.9]
    limits = limit.GetTableNode().GetTable().GetColumnByName("limit")
    assert [limits.GetValue(row) for row in range(2)] == [0.4, 0.4]
    assert chart.GetXAxisTitle() == "1 phantom,  2 other"
    assert chart.GetTitle() == "Scan: distances"
    assert chart.GetXAxisRange() == (0.4, 2.6)
    assert chart.GetYAxisRange() == (0.0, pytest.approx(1.35 * 0.9))
    # One chart, however often it is shown.
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1


def test_the_map_of_foreign_places_is_shown_when_it_is_asked_for_and_removed_by_a_check_without(
    open_panel, worker, finished, red_view
):
    volume = samples.volume("oblique")
    widget = open_panel("OODCheck")
    widget.ui.mapCheckBox.checked = True
    finished(widget)
    node = volume.GetNodeReference("MultiTaskSeg.ForeignMap")
    voxels = slicer.util.arrayFromVolume(volume)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), np.where(voxels > voxels.mean(), 3.0, 0.5))
    assert node.GetSpacing() == volume.GetSpacing()
    assert node.GetOrigin() == volume.GetOrigin()
    assert node.GetDisplayNode().GetLowerThreshold() == 2.0
    assert red_view.GetSliceCompositeNode().GetForegroundVolumeID() == node.GetID()
    widget.ui.mapCheckBox.checked = False
    finished(widget)
    assert volume.GetNodeReference("MultiTaskSeg.ForeignMap") is None


@pytest.mark.parametrize(
    ("verdict", "words", "colour"),
    [
        (Verdict(True, 3.0, 1.5, 0.01, "heart", {"heart": 3.0}), "OUT OF DISTRIBUTION", "#b3261e"),
        (Verdict(False, 1.4, 1.5, 0.05, "heart", {"heart": 1.4}), "UNUSUAL, BUT IN DISTRIBUTION", "#9a5b00"),
        (Verdict(False, 1.0, 1.5, 0.06, "heart", {"heart": 1.0}), "IN DISTRIBUTION", "#1b7f3b"),
    ],
)
def test_selecting_a_volume_shows_the_verdict_that_it_carries(open_panel, worker, verdict, words, colour):
    plain, flagged = samples.volume(name="plain"), samples.volume(name="flagged")
    write_record(flagged, ImageRecord.of(flagged), {"ood": verdict.as_dict()})
    widget = open_panel("OODCheck")
    widget.ui.inputSelector.setCurrentNode(flagged)
    assert f'bgcolor="{colour}"><tr><td><font color="#ffffff"><b>{words}</b>' in widget.ui.resultLabel.text
    assert widget.ui.resultLabel.text.count("<b>Next:</b>") == 1
    assert not widget.ui.spectrumButton.enabled
    widget.ui.inputSelector.setCurrentNode(plain)
    assert widget.ui.resultLabel.text == ""


def test_all_images_of_the_scene_are_checked_but_neither_labels_nor_maps(open_panel, worker, finished):
    first, second = samples.volume(name="first"), samples.volume("oblique", name="second")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    add_heatmap(first, np.zeros((9, 12, 15), np.float32), "uncertainty")
    widget = open_panel("OODCheck")
    choose_scope(widget, "scene")
    finished(widget)
    assert [row[:2] for row in cells(widget)] == [["first", "in"], ["second", "in"]]
    assert "0 of 2 images out of distribution" in widget.ui.messageLabel.text
    for volume in (first, second):
        assert attributes.read_verdict(volume).nearest_task == "phantom"


def test_a_folder_is_checked_without_loading_it_and_an_unreadable_file_gets_a_line(
    open_panel, worker, finished, tmp_path
):
    write_folder(tmp_path)
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    assert not widget.ui.checkButton.enabled
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    assert widget.ui.checkButton.enabled
    finished(widget)
    assert [row[:2] for row in cells(widget)] == [
        ["a.nrrd", "in"],
        ["b.nii.gz", "in"],
        ["bad.nrrd", "not checked"],
    ]
    assert "bad.nrrd" in widget.ui.resultTable.item(2, 0).toolTip()
    assert "0 of 3 images out of distribution" in widget.ui.messageLabel.text
    assert "1 not checked" in widget.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not allow such names")
def test_the_name_of_a_file_is_no_markup_in_the_tip_of_its_row(open_panel, worker, finished, tmp_path):
    write_folder(tmp_path)
    (tmp_path / "bad.nrrd").rename(tmp_path / "<b>bad.nrrd")
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    finished(widget)
    assert "&lt;b&gt;bad.nrrd" in widget.ui.resultTable.item(0, 0).toolTip()


def test_a_double_click_loads_the_image_of_a_row_once_and_shows_it(open_panel, worker, finished, tmp_path, red_view):
    write_folder(tmp_path)
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    finished(widget)
    for _twice in range(2):
        widget.ui.resultTable.cellActivated.emit(1, 0)
    node = widget.logic.getParameterNode().inputVolume
    assert node.GetName() == "b"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).ravel(), np.arange(9 * 12 * 15))
    np.testing.assert_allclose(
        slicer.util.arrayFromVTKMatrix(ijk_to_ras(node)), samples.ijk_to_ras("oblique"), atol=1e-5
    )
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert red_view.GetSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
    assert "IN DISTRIBUTION" in widget.ui.resultLabel.text
    (tmp_path / "a.nrrd").unlink()
    widget.ui.resultTable.cellActivated.emit(0, 0)
    assert "there is no such file" in widget.ui.messageLabel.text


def ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_a_double_click_shows_a_volume_of_the_scene_and_says_when_it_is_gone(open_panel, worker, finished, red_view):
    first, second = samples.volume(name="first"), samples.volume(name="second")
    widget = open_panel("OODCheck")
    choose_scope(widget, "scene")
    finished(widget)
    widget.ui.resultTable.cellActivated.emit(1, 3)
    assert widget.logic.getParameterNode().inputVolume is second
    assert red_view.GetSliceCompositeNode().GetBackgroundVolumeID() == second.GetID()
    slicer.mrmlScene.RemoveNode(first)
    widget.ui.resultTable.cellActivated.emit(0, 0)
    assert "no longer in the scene" in widget.ui.messageLabel.text


def test_the_table_is_saved_with_all_figures(open_panel, worker, finished, tmp_path, monkeypatch):
    write_folder(tmp_path)
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    finished(widget)
    target = tmp_path / "tableau é.csv"
    dialog = sys.modules["qt"].QFileDialog
    monkeypatch.setattr(dialog, "getSaveFileName", lambda *_arguments: str(target))
    widget.ui.exportButton.click()
    rows = list(csv.DictReader(target.read_text("utf-8-sig").splitlines()))
    assert [row["image"] for row in rows] == ["a.nrrd", "b.nii.gz", "bad.nrrd"]
    assert (float(rows[0]["p_value"]), float(rows[0]["score"]), float(rows[0]["limit"])) == (0.7, 0.1, 0.4)
    assert rows[0]["nearest_task"] == "phantom"
    assert rows[1]["file"] == str(tmp_path / "b.nii.gz")
    assert rows[2]["verdict"] == ""
    assert "damaged" in rows[2]["error"]
    target.unlink()
    monkeypatch.setattr(dialog, "getSaveFileName", lambda *_arguments: "")
    widget.ui.exportButton.click()
    assert not target.exists()


def test_a_folder_without_images_is_refused_in_words(open_panel, worker, tmp_path):
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    widget.ui.checkButton.click()
    assert "there is no image in this folder" in widget.ui.messageLabel.text
    assert widget.ui.checkButton.text == "Check"


def test_a_batch_can_be_cancelled_and_leaves_nothing_behind(open_panel, worker, until, tmp_path):
    scratch = worker("slow")
    write_folder(tmp_path)
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    widget.ui.checkButton.click()
    assert until(lambda: "1/3 a.nrrd: network" in widget.ui.progressLabel.text)
    assert widget.ui.progressBar.value == 8  # a quarter of the first of three
    widget.ui.checkButton.click()
    assert widget.ui.checkButton.text == "Check"
    assert "cancelled" in widget.ui.messageLabel.text
    assert list(scratch.glob("multitaskseg-*")) == []


def test_a_worker_that_cannot_be_started_ends_the_batch_after_two_images(open_panel, worker, finished):
    worker("no-start")
    for name in ("one", "two", "three"):
        samples.volume(name=name)
    widget = open_panel("OODCheck")
    choose_scope(widget, "scene")
    finished(widget)
    assert [row[1] for row in cells(widget)] == ["not checked"] * 3
    assert "not tried" in widget.ui.resultTable.item(2, 0).toolTip()
    assert "DLL load failed" in widget.ui.messageLabel.text


def test_an_image_that_the_worker_refuses_does_not_end_the_batch(open_panel, worker, finished):
    worker("error")
    for name in ("one", "two", "three"):
        samples.volume(name=name)
    widget = open_panel("OODCheck")
    choose_scope(widget, "scene")
    finished(widget)
    assert [row[1] for row in cells(widget)] == ["not checked"] * 3
    assert "upside down" in widget.ui.resultTable.item(0, 0).toolTip()


def test_the_choices_are_kept_with_the_scene(open_panel, worker, finished, tmp_path):
    samples.volume(name="first")
    widget = open_panel("OODCheck")
    choose_scope(widget, "scene")
    widget.ui.mapCheckBox.checked = True
    widget.ui.modelPathLineEdit.currentPath = str(tmp_path / "own.mts.safetensors")
    widget.ui.deviceComboBox.setCurrentIndex(1)
    finished(widget)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(1)
    assert cells(widget) == []
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    parameters = widget.logic.getParameterNode()
    assert (parameters.scope, parameters.withMap, parameters.device) == ("scene", True, "cpu")
    assert widget.ui.scopeComboBox.currentData == "scene"
    assert widget.ui.mapCheckBox.checked
    assert widget.ui.modelPathLineEdit.currentPath == str(tmp_path / "own.mts.safetensors")


def test_the_model_path_that_was_cleared_silently_is_not_used(open_panel, worker, finished, tmp_path):
    # ctkPathLineEdit sends no signal for a path that its filters refuse, the empty one included.
    samples.volume()
    widget = open_panel("OODCheck")
    widget.ui.modelPathLineEdit.currentPath = str(tmp_path / "own.mts.safetensors")
    widget.ui.modelPathLineEdit.blockSignals(True)
    widget.ui.modelPathLineEdit.currentPath = ""
    widget.ui.modelPathLineEdit.blockSignals(False)
    finished(widget)
    assert widget.logic.getParameterNode().modelPath == ""
