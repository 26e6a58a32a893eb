"""Where messages stand, what they say and how long they stay; which model is named (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.model.released import released_models
from MultiTaskSegLib.scene.earlier_result import results_of
from Testing.slicer import scene_samples as samples


def part(name: str):
    return importlib.import_module(f"MultiTaskSegLib.panel.{name}")


def sample_model() -> str:
    return str(importlib.import_module("MultiTaskSegLib.registration.sample_data").sample_model())


@pytest.fixture
def missing(tmp_path) -> str:
    """The path of a model that is not there."""
    return str(tmp_path / "gone.mts.safetensors")


def test_a_missing_model_is_told_in_the_words_of_the_panel_before_anything_is_asked(panel, segment, missing):
    segment()  # so that there would be a question, which no test has answered
    panel.parameters.modelPath = missing
    panel.ui.segmentButton.click()
    text = panel.ui.messageLabel.text
    assert "there is no such model file" in text
    assert "under Advanced" in text
    assert "-m" not in text.replace("gone.mts", "")
    assert len(results_of(panel.parameters.inputVolume)) == 1


def test_a_message_stays_until_its_cause_has_changed(panel, missing):
    panel.parameters.modelPath = missing
    panel.ui.segmentButton.click()
    panel.ui.opacitySlider.value = 0.3
    panel.ui.uncertaintyCheckBox.checked = False
    assert "no such model file" in panel.ui.messageLabel.text
    assert not panel.ui.messageLabel.isHidden()
    panel.ui.modelPathLineEdit._edit.setText("")  # cleared by hand, which the widget does not tell
    assert panel.parameters.modelPath == ""
    assert panel.ui.messageLabel.text == ""
    assert panel.ui.messageLabel.isHidden()


def test_a_file_that_is_no_model_is_refused_before_the_run(panel, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("no model")
    panel.parameters.modelPath = str(other)
    panel.ui.segmentButton.click()
    assert "no model of MultiTaskSeg" in panel.ui.messageLabel.text


def test_a_model_file_is_noticed_as_soon_as_it_is_chosen_in_the_dialog(panel, open_panel, tmp_path):
    check = open_panel("OODCheck")
    for widget in (panel, check):
        field = widget.ui.modelPathLineEdit
        field.nameFilters = ("Models (*.mts.safetensors)",)  # for which the widget is silent about any model
        field.currentPath = sample_model()  # as the dialog does, without a key
        assert widget.parameters.modelPath == sample_model()
        assert "phantoms only" in widget.ui.modelNoteLabel.text


@pytest.mark.parametrize("module", ["MultiTaskSeg", "OODCheck"])
def test_the_filter_of_model_files_is_one_that_the_widget_understands(open_panel, worker, module):
    field = open_panel(module).ui.modelPathLineEdit
    told: list[str] = []
    field.currentPathChanged.connect(told.append)
    field.currentPath = "a.mts.safetensors"
    assert told == ["a.mts.safetensors"]


def test_the_task_is_kept_while_the_model_cannot_be_read_and_the_panel_says_so(panel, missing, tmp_path):
    panel.parameters.modelPath = sample_model()
    box = panel.ui.taskComboBox
    box.setCurrentIndex(1)
    chosen = panel.parameters.task
    assert chosen != "auto"
    (tmp_path / "no.mts.safetensors").write_text("no model")
    for path, words in ((missing, "There is no model file"), (str(tmp_path / "no.mts.safetensors"), "is no model of")):
        panel.parameters.modelPath = path
        assert (panel.parameters.task, box.currentData) == (chosen, chosen)
        assert "the model cannot be read" in box.currentText
        assert words in panel.ui.modelNoteLabel.text
    panel.parameters.modelPath = sample_model()
    assert (panel.parameters.task, box.currentData) == (chosen, chosen)
    assert "cannot" not in box.currentText


def test_a_model_that_is_not_the_released_one_is_named_in_sight_and_one_click_leads_back(panel, tmp_path):
    note, button = panel.ui.modelNoteLabel, panel.ui.releasedModelButton
    assert note.isHidden()
    assert button.isHidden()
    panel.ui.modelPathLineEdit.currentPath = sample_model()
    assert "phantom.mts.safetensors" in note.text
    assert "phantoms only" in note.text
    assert not note.isHidden()
    assert panel.ui.inputsCollapsibleButton.isAncestorOf(note)  # which is never folded by itself
    button.click()
    assert panel.parameters.modelPath == ""
    assert panel.ui.modelPathLineEdit.currentPath == ""
    assert note.isHidden()
    note = importlib.import_module("MultiTaskSegLib.catalogue.model_note")
    assert note.model_text(str(tmp_path / "gone")) != ""
    assert note.model_text(str(released_models()[0])) == ""


def test_ood_check_names_its_model_too(open_panel, worker):
    samples.volume()
    widget = open_panel("OODCheck")
    widget.ui.modelPathLineEdit.currentPath = sample_model()
    assert "phantoms only" in widget.ui.modelNoteLabel.text
    widget.ui.releasedModelButton.click()
    assert widget.parameters.modelPath == ""
    assert widget.ui.modelNoteLabel.isHidden()


def test_the_model_of_the_tutorial_is_never_remembered(panel, segment, session, tmp_path):
    own = tmp_path / "own.mts.safetensors"
    panel.parameters.modelPath = str(own)
    part("settings").store_settings(panel.parameters)
    panel.parameters.modelPath = sample_model()
    segment()  # which remembers the choices
    session.scene.Clear(1)
    assert panel.parameters.modelPath == str(own)
    panel.ui.releasedModelButton.click()
    session.scene.Clear(1)
    assert panel.parameters.modelPath == ""


def test_a_model_of_the_tutorial_that_was_remembered_by_an_earlier_version_is_forgotten(open_panel, stand_ins, worker):
    open_panel("MultiTaskSeg")
    stand_ins.QSettings().setValue("MultiTaskSeg/modelPath", sample_model())
    slicer.mrmlScene.Clear(1)
    assert (
        slicer.mrmlScene.GetSingletonNode("MultiTaskSeg", "vtkMRMLScriptedModuleNode").GetParameter("modelPath") == ""
    )


def test_a_stray_return_keeps_both_results(panel, segment, stand_ins, monkeypatch):
    boxes = []

    def exec_(box):
        boxes.append((box.defaultButton(), box.escapeButton(), box.button(box.StandardButton.No), box.buttons()))
        return box.standardButton(box.defaultButton())

    monkeypatch.setattr(stand_ins.QMessageBox, "exec_", exec_, raising=False)
    for _twice in range(2):
        segment()
    ((default, escape, keep, buttons),) = boxes
    assert default is keep
    assert escape in buttons
    assert escape is not default
    assert len(results_of(panel.parameters.inputVolume)) == 2


def test_something_is_shown_before_torch_is_tried_and_the_button_waits(panel, until, monkeypatch):
    seen = []
    ui = panel.ui

    def ensure():
        seen.append(
            (ui.progressBar.isHidden(), ui.progressLabel.text, ui.segmentButton.enabled, ui.progressBar.maximum)
        )

    monkeypatch.setattr(part("start_run"), "ensure_packages", ensure)
    ui.segmentButton.click()
    assert seen == [(False, "Trying PyTorch ...", False, 0)]
    assert ui.progressBar.maximum == 100
    assert ui.segmentButton.text == "Cancel"
    assert until(lambda: ui.segmentButton.text == "Segment")


def test_nothing_that_belongs_to_a_result_takes_room_where_there_is_none(panel, segment, monkeypatch):
    monkeypatch.setattr(slicer.modules, "oodcheck", object(), raising=False)
    empty = ("resultLabel", "segmentTableWidget", "nextRegionButton", "regionLabel", "show3DButton", "oodCheckButton")
    assert [name for name in empty if not getattr(panel.ui, name).isHidden()] == []
    segment()
    assert [name for name in empty if getattr(panel.ui, name).isHidden()] == []


def test_a_table_is_as_high_as_its_rows_and_not_higher_than_the_limit(stand_ins):
    fit = importlib.import_module("MultiTaskSegLib.panel.element.table_fit")
    table = stand_ins.QTableWidget()
    table.setColumnCount(1)
    fitted, heights = fit.TableFit(table), []
    for rows in (1, 3, 100):
        table.setRowCount(rows)
        for row in range(rows):
            table.setItem(row, 0, stand_ins.QTableWidgetItem("text"))
        fitted.fit()
        heights.append(table.height)
    one_row = table.rowHeight(0)
    assert heights[1] - heights[0] == 2 * one_row
    assert heights[2] == fit.MAX_LINES * stand_ins.QFontMetrics(table.font).lineSpacing()
    assert (table.minimumHeight, table.maximumHeight) == (heights[2], heights[2])


def test_a_note_of_the_batch_does_not_repeat_the_verdict(panel):
    batch = importlib.import_module("MultiTaskSegLib.batch")
    verdict = importlib.import_module("MultiTaskSegLib.runtime.ood.verdict").Verdict(
        True, 3.0, 1.5, 0.01, "t", {"t": 3.0}
    )
    report = {"task": "t", "ood": verdict.as_dict(), "labels": [], "warnings": [verdict.sentence(), "coarse"]}
    panel._batch.show_rows([batch.row_of(batch.BatchItem("scan", print, print), report, 1.0)])
    item = panel.ui.batchTableWidget.item
    assert [item(0, column).text() for column in (1, 3)] == ["OUT", "coarse"]
    assert "OUT OF DISTRIBUTION" in item(0, 0).toolTip()


def test_devices_have_titles_for_people_in_both_panels(open_panel, worker):
    samples.volume()
    for name in ("MultiTaskSeg", "OODCheck"):
        box = open_panel(name).ui.deviceComboBox
        titles = [box.itemText(index) for index in range(3)]
        assert titles == ["Automatic", "Processor (CPU)", "Graphics card (CUDA)"]


def test_return_on_a_row_does_what_a_double_click_does(panel, segment, stand_ins, monkeypatch):
    segment()
    places, table = [], panel.ui.segmentTableWidget
    monkeypatch.setattr(part("result_view"), "jump_slices", lambda _scene, ras: places.append(list(ras)))
    table.setCurrentCell(0, 0)
    table.cellActivated.emit(0, 0)
    table.findChild(stand_ins.QShortcut).activated.emit()
    assert len(places) == 2
    assert places[0] == places[1]
