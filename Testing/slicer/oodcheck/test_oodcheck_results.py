"""What OODCheck returns to scripts and keeps in tables (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import attributes
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
    checked = logic.checkImages([node, tmp_path / "b.nii.gz"], progress=lambda fraction, _step: seen.append(fraction))
    assert [image.item.name for image in checked] == ["node", "b.nii.gz"]
    assert checked[0].verdict == checked[1].verdict == attributes.read_verdict(node)
    assert seen == sorted(seen)
    assert [image.item.name for image in logic.checkImages(tmp_path)] == ["a.nrrd", "b.nii.gz", "bad.nrrd"]
    assert [image.item.node for image in logic.checkImages()] == [node]
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
    result_table = importlib.import_module("OODCheckLib.result_table")
    assert result_table.verdict_of_row(table, 0).distances == {"phantom": 0.1, "other": 0.9}
    assert result_table.verdict_of_row(table, 2) is None
    assert "damaged" in result_table.row_texts(table, 2)["message"]
    widget.ui.resultTable.cellActivated.emit(0, 0)
    assert "IN DISTRIBUTION" in widget.ui.resultLabel.text


def test_quotes_and_tabs_in_a_message_do_not_break_the_saved_table(session, stand_ins, tmp_path):
    from Testing.slicer.stand_ins.panel import load_module

    load_module("OODCheck")
    result_table = importlib.import_module("OODCheckLib.result_table")
    checked = importlib.import_module("OODCheckLib.check_batch").CheckedImage
    item = importlib.import_module("OODCheckLib.image_item").ImageItem
    node, path = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "results"), Path('odd  "name"\t.nrrd')
    result_table.write_results(node, [checked(item('a "b"', path=path), None, 'the\tfile "x"\nis damaged')])
    storage = node.CreateDefaultStorageNode()
    slicer.mrmlScene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "results.tsv"))
    before = result_table.row_texts(node, 0)
    assert storage.WriteData(node)
    assert storage.ReadData(node)
    assert result_table.row_texts(node, 0) == before
    assert before["message"] == "the file 'x' is damaged"
    assert result_table.file_of_row(node, 0) == path


@pytest.mark.parametrize("farther, said", [(6.0, False), (4.0, True)])
def test_the_bars_say_when_the_nearest_task_has_not_the_shortest_one(open_panel, farther, said):
    open_panel("OODCheck")
    bars = importlib.import_module("OODCheckLib.distance_bars").distance_bars
    verdict = Verdict(True, 5.0, 1.5, 0.1, "near", {"near": 5.0, "other": farther})
    assert ("in common units" in bars(verdict)) is said
