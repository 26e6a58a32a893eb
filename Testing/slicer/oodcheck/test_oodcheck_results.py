"""What OODCheck returns to scripts and keeps in tables (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.batch.batch_table import batch_rows_of
from MultiTaskSegLib.verdict_words import KNOWN
from Testing.slicer import scene_samples as samples
from Testing.slicer.image_folder_sample import cells, choose_scope, write_folder


def test_check_from_python_returns_the_verdict(open_panel, worker):
    volume = samples.volume()
    verdict = open_panel("OODCheck").logic.check(volume)
    assert verdict == attributes.read_verdict(volume)


def test_checking_many_from_python_returns_one_outcome_per_image(open_panel, worker, tmp_path):
    write_folder(tmp_path)
    node = samples.volume(name="node")
    logic = open_panel("OODCheck").logic
    seen: list[float] = []
    rows = logic.checkImages([node, tmp_path / "b.nii.gz"], progress=lambda fraction, _step: seen.append(fraction))
    assert [row.image for row in rows] == ["node", "b.nii.gz"]
    assert rows[0].ood == rows[1].ood == attributes.read_verdict(node)
    assert seen == sorted(seen)
    assert [row.image for row in logic.checkImages(tmp_path)] == ["a.nrrd", "b.nii.gz", "bad.nrrd"]
    assert [row.volume_id for row in logic.checkImages()] == [node.GetID()]
    with pytest.raises(Exception, match="no image was given"):
        logic.checkImages([])


def test_a_table_that_cannot_be_saved_is_refused_in_words(open_panel, worker, tmp_path):
    samples.volume()
    logic = open_panel("OODCheck").logic
    table = logic.writeResults(logic.checkImages())
    write_csv = importlib.import_module("OODCheckLib.result_table").write_csv
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ResourceError, match=r"folder\.csv"):
        write_csv(table, tmp_path / "folder.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_table_that_was_saved_with_the_scene_shows_the_same_rows(open_panel, worker, finished, tmp_path, session):
    write_folder(tmp_path)
    widget = open_panel("OODCheck")
    choose_scope(widget, "folder")
    widget.ui.folderPathLineEdit.currentPath = str(tmp_path)
    finished(widget)
    before, table = cells(widget), widget.logic.getParameterNode().results
    bundle = tmp_path / "scene.mrb"
    session.scene.SetURL(str(bundle))
    assert session.scene.WriteToMRB(str(bundle))
    session.scene.Clear(1)
    assert cells(widget) == []
    assert session.scene.ReadFromMRB(str(bundle))
    assert cells(widget) == before
    table = widget.logic.getParameterNode().results
    rows = batch_rows_of(table)
    assert rows[0].ood.distances == {"phantom": 0.1, "other": 0.9}
    assert rows[2].ood is None
    assert "damaged" in rows[2].error
    widget.ui.resultTable.cellActivated.emit(0, 0)
    assert "IN DISTRIBUTION" in widget.ui.resultLabel.text


@pytest.mark.parametrize("farther, said", [(6.0, False), (4.0, True)])
def test_the_bars_say_when_the_nearest_task_has_not_the_shortest_one(open_panel, farther, said):
    open_panel("OODCheck")
    bars = importlib.import_module("OODCheckLib.distance_bars").distance_bars
    verdict = Verdict(True, 5.0, 1.5, 0.1, "near", {"near": 5.0, "other": farther})
    assert ("in common units" in bars(verdict)) is said


def test_a_table_that_is_shown_is_read_once_however_many_rows_it_has(open_panel, worker, monkeypatch):
    panel = open_panel("OODCheck")
    verdict = panel.logic.check(samples.volume())
    rows = [BatchRow(f"image {number}", verdict=KNOWN, ood=verdict) for number in range(20)]
    table = panel.logic.writeResults(rows)
    read = []
    original = Verdict.from_dict
    monkeypatch.setattr(Verdict, "from_dict", lambda plain: read.append(plain) or original(plain))
    view = importlib.import_module("OODCheckLib.result_view").ResultView(
        panel.ui.resultTable, panel.ui.exportButton, print
    )
    view.show(table)
    assert len(read) == panel.ui.resultTable.rowCount == len(rows)


def test_a_table_from_which_somebody_took_a_row_is_not_shown_and_breaks_nothing(
    open_panel, worker, finished, no_exception_in_a_slot
):
    samples.volume(name="first")
    samples.volume(name="second")
    panel = open_panel("OODCheck")
    panel.parameters.scope = "scene"
    finished(panel)
    assert panel.ui.resultTable.rowCount == 2
    panel.parameters.results.RemoveRow(0)
    panel.enter()
    assert panel.ui.resultTable.rowCount == 0


def test_a_table_that_was_given_a_name_is_not_filled_with_the_next_images(open_panel, worker, finished):
    samples.volume()
    panel = open_panel("OODCheck")
    panel.parameters.scope = "scene"
    finished(panel)
    first = panel.parameters.results
    finished(panel)
    assert panel.parameters.results is first
    first.SetName("first cohort")
    samples.volume(name="second")
    finished(panel)
    assert panel.parameters.results is not first
    assert [len(batch_rows_of(table)) for table in (first, panel.parameters.results)] == [1, 2]
