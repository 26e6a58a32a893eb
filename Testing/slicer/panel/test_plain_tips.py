"""Names of images, tasks, structures and channels are no markup in tips and titles (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.runtime.model.header_file import manifest, task_entry, write_header_file

ODD, SHOWN = "<b>known & good</b>", "&lt;b&gt;known &amp; good&lt;/b&gt;"


def test_the_name_of_an_image_is_no_markup_in_the_tip_of_its_row(panel):
    batch = importlib.import_module("MultiTaskSegLib.batch")
    report = {"task": "t", "ood": None, "labels": [], "warnings": []}
    panel._batch.show_rows([batch.row_of(batch.BatchItem(ODD, print, print), report, 1.0)])
    assert SHOWN in panel.ui.batchTableWidget.item(0, 0).toolTip()


def test_the_name_of_a_structure_is_no_markup_in_the_tip_of_its_row(panel):
    table = importlib.import_module("MultiTaskSegLib.panel.segment_table").SegmentTable
    row = importlib.import_module("MultiTaskSegLib.scene.result_table").SegmentRow
    table(panel.ui.segmentTableWidget, print).show([row("s", ODD, 1.0, 0.9, 0.9, 0.1)])
    assert SHOWN in panel.ui.segmentTableWidget.item(0, 0).toolTip()


def test_the_names_of_tasks_are_no_markup_in_the_list_of_models(panel, tmp_path):
    listed = importlib.import_module("MultiTaskSegLib.runtime.model.model_list").listed_model
    table = importlib.import_module("MultiTaskSegLib.catalogue.model_table").ModelTable
    widget = panel.ui.batchTableWidget
    table(widget).show([listed("odd", write_header_file(tmp_path / "odd", manifest(task_entry(ODD))))], "")
    assert SHOWN in widget.item(0, 0).toolTip()


def test_the_name_of_a_channel_is_no_markup_in_its_title_and_tip(panel, tmp_path):
    path = write_header_file(tmp_path / "two.mts.safetensors", manifest(task_entry("Two", inputs=["T1", ODD])))
    panel.ui.modelPathLineEdit.currentPath = str(path)
    panel.parameters.task = "Two"
    ((label, selector),) = panel._channels._rows
    assert SHOWN in selector.toolTip
    plain = importlib.import_module("qt").Qt.PlainText
    assert [own.textFormat for own in (label, panel.ui.inputLabel)] == [plain, plain]
