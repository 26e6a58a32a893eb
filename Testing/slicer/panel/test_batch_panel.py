"""Several images in the panel of MultiTaskSeg ON STAND-IN WIDGETS."""

from __future__ import annotations

import gc
import html
import sys
import weakref

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.picture.framed_picture import framed_picture
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.scene.batch import scene_batch
from MultiTaskSegLib.scene.earlier_result import results_of
from Testing.slicer import scene_samples as samples
from Testing.slicer.stand_ins import segment_statistics


def cells(panel) -> list[list[str]]:
    table = panel.ui.batchTableWidget
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]


def ticked_figures(parameters) -> list[str]:
    from MultiTaskSegLib.panel.figure import figure_ticks

    return figure_ticks.ticked_figures(parameters)


@pytest.fixture
def run_batch(panel, until):
    def press(scope: str) -> None:
        panel.ui.batchScopeComboBox.setCurrentIndex(panel.ui.batchScopeComboBox.findData(scope))
        panel.ui.batchButton.click()
        assert until(lambda: panel.ui.batchButton.text == "Segment all")

    return press


def test_all_images_of_the_scene_are_segmented_but_not_the_maps_made_of_them(panel, segment, run_batch):
    segment()
    samples.volume(name="other")
    run_batch("scene")
    assert [row[0] for row in cells(panel)] == ["Scan", "other"]
    assert [row[1] for row in cells(panel)] == ["in"] * 2
    assert "phantom" in panel.ui.batchTableWidget.item(0, 0).toolTip()
    other = slicer.mrmlScene.GetFirstNodeByName("other")
    assert len(results_of(other)) == 1
    assert slicer.mrmlScene.GetFirstNodeByName("MultiTaskSeg batch") is not None
    panel.ui.batchTableWidget.cellActivated.emit(1, 0)
    assert panel.parameters.inputVolume is other
    assert panel.parameters.segmentation is results_of(other)[0]


def test_the_uncertainty_of_a_batch_is_left_out_where_the_box_says_so(panel, run_batch):
    box = panel.ui.batchUncertaintyCheckBox
    run_batch("scene")
    assert panel.parameters.segmentation.GetNodeReference("MultiTaskSeg.Uncertainty") is not None
    box.checked = False
    run_batch("scene")
    assert panel.parameters.segmentation.GetNodeReference("MultiTaskSeg.Uncertainty") is None
    assert not panel.ui.nextRegionButton.enabled
    for scope, is_offered in (("scene", True), ("frames", False), ("folder", False)):
        panel.parameters.batchScope = scope
        assert box.isHidden() is not is_offered


def test_a_batch_is_thorough_where_the_tick_says_so_and_its_time_is_told_beforehand(panel, run_batch):
    samples.volume(name="other")
    label, table = panel.ui.batchThoroughLabel, panel.ui.batchTableWidget
    assert label.isHidden()
    run_batch("scene")
    assert table.columnCount == 4
    panel.ui.thoroughCheckBox.checked = True
    for name, seconds in (("Scan", "2.5"), ("other", "4")):  # of the batch before
        results_of(slicer.mrmlScene.GetFirstNodeByName(name))[-1].SetAttribute("MultiTaskSeg.Seconds", seconds)
    panel.onParametersChanged()
    assert label.isHidden() is False
    assert label.text == "With the thorough check, about 13 s more"
    run_batch("scene")
    assert titles(panel)[4] == "Thorough\ncheck"
    assert [table.item(row, 4).text() for row in range(2)] == ["look here\n0.83"] * 2
    assert table.item(0, 4).background().color().name() == "#9a5b00"
    assert [row[1] for row in cells(panel)] == ["in"] * 2
    assert panel.parameters.segmentation.GetAttribute("MultiTaskSeg.Thorough") == "look here"
    samples.volume(name="third")
    panel.onParametersChanged()
    assert label.text == "With the thorough check, 3 times as long"
    for scope in ("folder", "frames"):  # there is no sequence
        panel.parameters.batchScope = scope
        assert label.text == "With the thorough check, 3 to 5 times as long"


def test_an_image_that_fails_has_a_row_with_the_reason(panel, run_batch):
    flat = samples.volume(name="warped")
    samples.warp_transform(flat)
    run_batch("scene")
    assert cells(panel)[1][1] == "not done"
    assert "non-linear transform" in cells(panel)[1][3]


def test_a_batch_that_cannot_start_says_why(panel, run_batch):
    run_batch("frames")
    assert "shows no sequence" in panel.ui.batchMessageLabel.text
    run_batch("folder")
    assert "a folder is missing" in panel.ui.batchMessageLabel.text
    assert panel.ui.batchFolderPathLineEdit.isHidden() is False


def test_a_folder_is_segmented_into_another(panel, run_batch, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"not looked at by the stand-in worker")
    panel.parameters.batchFolder, panel.parameters.batchOutput = str(tmp_path / "in"), str(tmp_path / "out")
    run_batch("folder")
    assert [row[0] for row in cells(panel)] == ["a.nii.gz"]
    assert (tmp_path / "out").is_dir()


def test_rows_show_the_picture_of_their_result_and_the_page_of_all_is_linked_to(panel, run_batch, tmp_path):
    samples.warp_transform(samples.volume(name="warped"))
    run_batch("scene")
    table = panel.ui.batchTableWidget
    assert [table.item(row, 0).icon().isNull() for row in range(2)] == [False, True]
    assert "batch.html" not in panel.ui.batchMessageLabel.text
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"not looked at by the stand-in worker")
    panel.parameters.batchFolder, panel.parameters.batchOutput = str(tmp_path / "in"), str(tmp_path / "out & <b>")
    run_batch("folder")
    assert not table.item(0, 0).icon().isNull()
    page = tmp_path / "out & <b>" / "batch.html"
    assert page.is_file()
    assert f'href="{html.escape(page.resolve().as_uri())}"' in panel.ui.batchMessageLabel.text
    assert panel.ui.batchMessageLabel.openExternalLinks


def tick(panel, title: str) -> None:
    next(action for action in panel._batch._figures.menu.actions() if action.text() == title).trigger()


def titles(panel) -> list[str]:
    table = panel.ui.batchTableWidget
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]


def test_ticked_figures_are_columns_of_the_next_batch_and_of_no_later_one_without_them(panel, run_batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "SegmentStatistics", segment_statistics)
    own = titles(panel)
    tick(panel, "Mean intensity")
    tick(panel, "Surface [mm2]")
    assert panel.ui.batchFiguresButton.text == "Figures: 2 of 10"
    run_batch("scene")
    assert titles(panel) == [*own, "bright part:\nSurface [mm2]", "bright part:\nMean intensity"]
    voxels = slicer.util.arrayFromVolume(slicer.mrmlScene.GetFirstNodeByName("Scan"))
    mean = voxels[voxels > voxels.mean()].mean()
    assert float(panel.ui.batchTableWidget.item(0, len(own) + 1).text()) == pytest.approx(mean, rel=1e-3)
    tick(panel, "Surface [mm2]")
    tick(panel, "Mean intensity")
    run_batch("scene")
    assert titles(panel) == own


def test_a_row_without_a_figure_has_an_empty_cell_that_says_so(panel):
    panel._batch.show_rows([BatchRow("a", figures={"Roundness": {"heart": 0.5}}), BatchRow("b", error="damaged")])
    items = [panel.ui.batchTableWidget.item(row, 4) for row in range(2)]
    assert [item.text() for item in items] == ["0.5", ""]
    assert "no such figure" in items[1].toolTip()
    header = panel.ui.batchTableWidget.horizontalHeader()
    assert [header.visualIndex(column) for column in range(5)] == [0, 1, 2, 4, 3]  # the note comes last
    panel._batch.show_rows([BatchRow("a")])
    assert [header.visualIndex(column) for column in range(4)] == [0, 1, 2, 3]


def test_ticks_are_kept_with_the_scene_and_what_is_none_is_left_out(panel):
    tick(panel, "Roundness")
    assert ticked_figures(panel.parameters) == ["Roundness"]
    for odd, ticked in (('["Roundness", "Weight"]', ["Roundness"]), ("{}", []), ("nonsense", []), ("3", [])):
        panel.parameters.batchFigures = odd
        assert ticked_figures(panel.parameters) == ticked


def test_the_page_of_a_batch_that_was_not_done_to_its_end_is_linked_to_beside_the_reason(panel, tmp_path):
    panel._batch.show_rows([BatchRow("a")], tmp_path / "batch.html")
    panel._batch.fail("the batch was cancelled")
    text = panel.ui.batchMessageLabel.text
    assert "the batch was cancelled" in text
    assert 'batch.html"' in text
    panel._batch.show_rows([BatchRow("a")])
    panel._batch.fail("the batch was cancelled")
    assert "batch.html" not in panel.ui.batchMessageLabel.text


def test_pictures_of_rows_are_no_larger_in_memory_than_a_fine_screen_shows_them(panel):
    pixels = np.zeros((80, 160, 3), np.uint8)
    panel._batch.show_rows([BatchRow("a", thumbnail=framed_picture(pixels, ""))])
    (size,) = panel.ui.batchTableWidget.item(0, 0).icon().availableSizes()
    fine = 2 * panel.ui.batchTableWidget.iconSize.width()
    assert (size.width(), size.height()) == (fine, round(fine * 90 / 170))  # with the frame


def test_a_page_that_cannot_be_written_is_told_and_costs_no_row(panel, run_batch, tmp_path, monkeypatch):
    def refuse(_rows: object, folder: str) -> None:
        raise ResourceError("the disk is full", file=folder)

    monkeypatch.setattr(scene_batch, "write_batch_files", refuse)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"not looked at by the stand-in worker")
    panel.parameters.batchFolder, panel.parameters.batchOutput = str(tmp_path / "in"), str(tmp_path / "out")
    run_batch("folder")
    assert [row[0] for row in cells(panel)] == ["a.nii.gz"]
    assert "the disk is full" in panel.ui.batchMessageLabel.text


def test_cancelling_a_batch_keeps_what_is_done_and_frees_the_single_run(panel, worker, run_batch):
    worker("slow")
    panel.ui.batchButton.click()
    assert panel.ui.batchButton.text == "Cancel"
    assert not panel.ui.segmentButton.enabled
    panel.ui.batchButton.click()
    assert panel.ui.batchButton.text == "Segment all"
    assert panel.ui.segmentButton.enabled
    assert "cancelled" in panel.ui.batchMessageLabel.text


def test_the_table_goes_with_the_scene(panel, run_batch):
    run_batch("scene")
    assert cells(panel)
    slicer.mrmlScene.Clear(0)
    assert cells(panel) == []
    assert panel.ui.batchTableWidget.isHidden()


def test_a_scene_that_is_closed_during_a_batch_leaves_no_table_in_the_next_one(panel, until, worker):
    for name in ("one", "two", "three"):
        samples.volume(name=name)
    panel.ui.batchButton.click()
    assert until(lambda: len(panel._batch.run._run.job.rows) >= 1)
    slicer.mrmlScene.Clear(0)
    for name in ("another one", "another two"):  # which have the IDs of the first ones
        samples.volume(name=name)
    panel.parameters.inputVolume = slicer.mrmlScene.GetFirstNodeByName("another one")
    assert until(lambda: panel.ui.batchButton.text == "Segment all")
    assert not panel.parameters.parameterNode.GetNodeReferenceID("segmentation")
    assert slicer.util.getNodesByClass("vtkMRMLTableNode") == []
    assert cells(panel) == []


def test_a_removed_volume_is_not_kept_in_memory_by_the_table(panel, run_batch):
    run_batch("scene")
    volume = weakref.ref(panel.parameters.inputVolume)
    for node in [*results_of(volume()), volume()]:
        slicer.mrmlScene.RemoveNode(node)
    del node
    gc.collect()
    assert volume() is None


def test_a_click_in_the_other_module_does_not_get_between_the_images_of_a_batch(panel, open_panel, until, worker):
    other = open_panel("OODCheck")
    for number in range(4):
        samples.volume(name=f"v{number}")
    other.parameters.inputVolume = slicer.util.getNode("v3")
    panel.ui.batchButton.click()
    assert until(lambda: len(panel._batch.run._run.job.rows) >= 1)
    other.onCheckButton()  # a click that had been waiting while a result was put into the scene
    assert "another run is under way" in other.ui.messageLabel.text
    assert until(lambda: panel.ui.batchButton.text == "Segment all")
    assert [row[1] for row in cells(panel)] == ["in"] * 5
