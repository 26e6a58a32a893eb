"""The list of models in Slicer: choose, add, import, remove, look closer (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job as job_module
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file

NAME, SEGMENTS, MODALITY, CHANNELS, SIZE, LICENCE, CHECKED = range(7)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The user's models: one with reference images, one without, one that is damaged."""
    own = tmp_path / "own"
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(own))
    write_header_file(own / "balls.mts.safetensors", manifest())
    several = task_entry(inputs=["T1", "FLAIR"], modality="MR")
    write_header_file(own / "blind.mts.safetensors", manifest(several, ood=None, licence="ours"))
    write_header_file(own / "cut.mts.safetensors", manifest(), tensor_bytes=1)
    return own


@pytest.fixture
def shown(folder, panel):
    """The list of the panel of MultiTaskSeg."""
    panel.ui.modelsButton.click()
    return panel._model.list


@pytest.fixture
def check_list(folder, open_panel, worker, no_exception_in_a_slot):
    """The list of the panel of OOD Check."""
    widget = open_panel("OODCheck")
    widget.ui.modelsButton.click()
    return widget._view.model.list


def texts(shown, row: int) -> list[str]:
    table = shown.ui.modelTable
    return [table.item(row, column).text() for column in range(table.columnCount)]


def row_of(shown, name: str) -> int:
    table = shown.ui.modelTable
    names = [table.item(row, NAME).text().removeprefix("\u2713 ") for row in range(table.rowCount)]
    return names.index(name)


def select(shown, name: str) -> None:
    shown.ui.modelTable.setCurrentCell(row_of(shown, name), 0)


def answer(monkeypatch, button: str) -> list[str]:
    """Answer the next questions with a button; the questions that were asked."""
    asked: list[str] = []
    box = sys.modules["qt"].QMessageBox

    def exec_(asking):
        asked.append(asking.text)
        return getattr(box, button)

    monkeypatch.setattr(box, "exec_", exec_, raising=False)
    return asked


def test_the_list_shows_all_models_with_what_there_is_to_know(shown):
    names = [texts(shown, row)[NAME] for row in range(shown.ui.modelTable.rowCount)]
    assert names == ["\u2713 mr3d", "\u2713 planar2d", "\u2713 head_brain", "\u2713 balls", "blind", "cut"]
    assert texts(shown, 0)[CHECKED] == "yes"
    *told, size, licence, checked = texts(shown, 4)[SEGMENTS:]
    assert (*told, licence, checked) == ("round ball", "MR", "T1 + FLAIR", "ours", "no")
    number, unit = size.split()
    assert int(number) > 0
    assert unit == "kB"
    assert "cut off" in texts(shown, 5)[SEGMENTS]
    assert shown.dialog.visible


def test_choosing_a_model_sets_that_of_the_panel_and_is_remembered_in_both(shown, panel, folder, open_panel):
    select(shown, "balls")
    shown.ui.useButton.click()
    path = str(folder / "balls.mts.safetensors")
    assert panel.parameters.modelPath == path
    assert panel.ui.modelPathLineEdit.currentPath == path
    assert texts(shown, 3)[NAME] == "\u2713 balls"
    assert texts(shown, 0)[NAME] == "mr3d"
    assert open_panel("OODCheck").parameters.modelPath == path
    slicer.mrmlScene.Clear(1)
    assert panel.parameters.modelPath == path
    select(shown, "planar2d")
    shown.ui.modelTable.cellActivated.emit(1, 0)
    assert panel.parameters.modelPath == ""  # of the released ones that which suits the image


def test_a_damaged_model_cannot_be_used_and_says_why(shown, panel):
    select(shown, "cut")
    assert "cut cannot be used: the model file is cut off" in shown.ui.hintLabel.text
    assert not shown.ui.useButton.enabled
    assert not shown.ui.cardButton.enabled
    shown.ui.modelTable.cellActivated.emit(row_of(shown, "cut"), 0)
    assert panel.parameters.modelPath == ""


def test_a_model_without_reference_images_segments_but_cannot_check(shown, panel, folder):
    select(shown, "blind")
    shown.ui.useButton.click()
    assert panel.parameters.modelPath == str(folder / "blind.mts.safetensors")
    assert "Images are not checked" in panel.ui.modelNoteLabel.text


def test_ood_check_shows_such_a_model_as_not_usable_with_the_reason(check_list, folder, open_panel):
    select(check_list, "blind")
    assert "No image can be checked with blind" in check_list.ui.hintLabel.text
    assert not check_list.ui.useButton.enabled
    select(check_list, "balls")
    assert check_list.ui.useButton.enabled


def test_ood_check_refuses_such_a_model_before_anything_is_started(open_panel, folder, worker, no_exception_in_a_slot):
    from Testing.slicer import scene_samples

    scene_samples.volume()
    widget = open_panel("OODCheck")
    widget.parameters.modelPath = str(folder / "blind.mts.safetensors")
    assert "No image can be checked with blind" in widget.ui.modelNoteLabel.text
    widget.ui.checkButton.click()
    assert "no image can be checked with this model" in widget.ui.messageLabel.text


def test_only_models_of_the_user_are_removed_and_only_after_a_question(shown, panel, folder, monkeypatch):
    select(shown, "mr3d")
    assert not shown.ui.removeButton.enabled
    path = folder / "balls.mts.safetensors"
    select(shown, "balls")
    shown.ui.useButton.click()
    answer(monkeypatch, "Cancel")
    shown.ui.removeButton.click()
    assert path.exists()
    asked = answer(monkeypatch, "Yes")
    shown.ui.removeButton.click()
    assert not path.exists()
    assert "does not go to the trash" in asked[0]
    assert str(path) in asked[0]
    assert panel.parameters.modelPath == ""  # else the panel would be left with a file that is gone
    assert shown.ui.modelTable.rowCount == 5


def test_nothing_is_removed_while_slicer_tests_itself(shown, folder, monkeypatch):
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    select(shown, "balls")
    shown.ui.removeButton.click()
    assert (folder / "balls.mts.safetensors").exists()


def test_a_file_that_is_gone_is_told(shown, panel, folder):
    select(shown, "balls")
    shown.ui.useButton.click()
    (folder / "balls.mts.safetensors").unlink()
    panel.onParametersChanged()
    assert "There is no model file balls" in panel.ui.modelNoteLabel.text
    panel.ui.segmentButton.click()
    assert "there is no such model file" in panel.ui.messageLabel.text


def test_the_card_of_a_model_is_shown(shown, folder, until):
    select(shown, "balls")
    shown.ui.cardButton.click()
    assert until(lambda: not shown.control.is_running)
    assert shown.ui.cardText.toPlainText() == f"the card of {folder / 'balls.mts.safetensors'}"
    assert not shown.ui.cardText.isHidden()


@pytest.mark.parametrize("is_opened", [True, False])
def test_the_folder_of_a_model_is_opened_or_it_is_said_that_it_was_not(shown, folder, monkeypatch, is_opened):
    opened: list[str] = []
    services = sys.modules["qt"].QDesktopServices
    monkeypatch.setattr(services, "openUrl", lambda url: opened.append(url.toLocalFile()) or is_opened)
    select(shown, "balls")
    shown.ui.openButton.click()
    assert opened == [str(folder)]
    assert ("opened no window" in shown.ui.messageLabel.text) is not is_opened


def test_a_model_file_is_copied_into_the_list_and_used(shown, panel, folder, tmp_path, monkeypatch, until):
    source = write_header_file(tmp_path / "elsewhere" / "balls.mts.safetensors", manifest(name="another"))
    dialog = sys.modules["qt"].QFileDialog
    monkeypatch.setattr(dialog, "getOpenFileName", lambda *_arguments: str(source))
    shown.ui.addButton.click()
    assert until(lambda: not shown.control.is_running)
    path = folder / "balls_2.mts.safetensors"
    assert path.read_bytes() == source.read_bytes()
    assert panel.parameters.modelPath == str(path)
    assert "balls_2.mts.safetensors is in the list" in shown.ui.messageLabel.text
    monkeypatch.setattr(dialog, "getOpenFileName", lambda *_arguments: "")
    shown.ui.addButton.click()
    assert not shown.control.is_running


def test_what_is_no_model_is_not_added(shown, panel, tmp_path, until):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing of the kind")
    shown.take_in(str(bad))
    assert until(lambda: not shown.control.is_running)
    assert "this is no model of MultiTaskSeg" in shown.ui.messageLabel.text
    assert shown.ui.modelTable.rowCount == 6
    assert panel.parameters.modelPath == ""


@pytest.fixture
def trained(tmp_path) -> Path:
    """A folder that the stand-in worker finds two models in."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def asked_for(shown, source: Path, until):
    """The window that asks what to import."""
    shown.take_in(str(source))
    assert until(lambda: not shown.control.is_running)
    return shown._form


def test_an_import_asks_for_model_folds_name_and_licence(shown, panel, folder, trained, until):
    form = asked_for(shown, trained, until)
    boxes = form.ui.modelComboBox, form.ui.foldsComboBox
    assert [box.count for box in boxes] == [2, 1]
    assert not form.ui.foldsComboBox.enabled
    form.ui.modelComboBox.setCurrentIndex(1)
    titles = [form.ui.foldsComboBox.itemText(index) for index in range(form.ui.foldsComboBox.count)]
    assert titles == ["All (0, 1)", "Fold 0", "Fold 1", "Fold all"]
    assert form.ui.nameEdit.text == "Dataset001_Balls_3d_fullres"
    form.ui.licenceComboBox.setEditText("  ")
    assert not form.ui.importButton.enabled
    form.ui.licenceComboBox.setEditText("ours alone")
    form.ui.importButton.click()
    assert until(lambda: not shown.control.is_running)
    path = folder / "Dataset001_Balls_3d_fullres.mts.safetensors"
    (task,) = header_manifest(path)["tasks"]
    told = {key: task["request"][key] for key in ("configuration", "trainer", "plans", "folds", "licence", "name")}
    assert told == {
        "configuration": "3d_fullres",
        "trainer": "Trainer",
        "plans": "Plans",
        "folds": ["0", "1"],  # as nnU-Net does, whose "all" is another network
        "licence": "ours alone",
        "name": "Dataset001_Balls_3d_fullres",
    }
    assert panel.parameters.modelPath == str(path)
    assert shown.ui.cardText.toPlainText() == "the card of what was imported"
    assert texts(shown, row_of(shown, "Dataset001_Balls_3d_fullres"))[LICENCE:] == ["ours alone", "no"]


def test_one_fold_may_be_chosen_and_a_refusal_imports_nothing(shown, folder, trained, until):
    before = sorted(folder.iterdir())
    asked_for(shown, trained, until).ui.cancelButton.click()
    assert sorted(folder.iterdir()) == before
    form = asked_for(shown, trained, until)
    form.ui.modelComboBox.setCurrentIndex(1)
    form.ui.foldsComboBox.setCurrentIndex(3)
    form.ui.nameEdit.text = "mr3d"
    form.ui.importButton.click()
    assert until(lambda: not shown.control.is_running)
    (task,) = header_manifest(folder / "mr3d_2.mts.safetensors")["tasks"]
    assert task["request"]["folds"] == ["all"]


def test_a_folder_without_a_model_is_told_and_nothing_is_asked(shown, tmp_path, until):
    (tmp_path / "bad").mkdir()
    assert asked_for(shown, tmp_path / "bad", until) is None
    assert "there is no trained model" in shown.ui.messageLabel.text


def test_a_folder_in_the_path_of_the_panel_is_offered_for_import(panel, folder, trained, until):
    assert panel.ui.importModelButton.isHidden()
    panel.ui.modelPathLineEdit.currentPath = str(trained)
    assert not panel.ui.importModelButton.isHidden()
    assert "import it" in panel.ui.modelNoteLabel.text
    panel.ui.segmentButton.click()
    assert "Import it first" in panel.ui.messageLabel.text
    panel.ui.importModelButton.click()
    shown = panel._model.list
    assert until(lambda: not shown.control.is_running)
    shown._form.ui.importButton.click()
    assert until(lambda: not shown.control.is_running)
    assert panel.parameters.modelPath == str(folder / "Dataset001_Balls_2d.mts.safetensors")
    assert panel.ui.importModelButton.isHidden()


def test_an_import_can_be_cancelled_and_leaves_nothing(shown, folder, trained, until, worker):
    form = asked_for(shown, trained, until)
    worker("slow")
    form.ui.importButton.click()
    assert shown.ui.addButton.text == "Cancel"
    assert not shown.ui.addFolderButton.enabled
    before = sorted(folder.iterdir())
    shown.ui.addButton.click()
    assert not shown.control.is_running
    assert "cancelled" in shown.ui.messageLabel.text
    assert sorted(folder.iterdir()) == before
    assert shown.ui.addButton.text == "Add file..."
    assert shown.ui.addFolderButton.enabled


def test_an_import_does_not_replace_a_model_that_took_the_name_meanwhile(shown, folder, trained, until, monkeypatch):
    form = asked_for(shown, trained, until)
    other = folder / "Dataset001_Balls_2d.mts.safetensors"
    take = job_module.result_of

    def take_in(*given):
        write_header_file(other, manifest())
        monkeypatch.setattr(job_module, "result_of", take)
        return take(*given)

    monkeypatch.setattr(job_module, "result_of", take_in)
    form.ui.importButton.click()
    assert until(lambda: not shown.control.is_running)
    assert header_manifest(other) == manifest()
    assert header_manifest(folder / "Dataset001_Balls_2d_2.mts.safetensors")["tasks"][0]["name"] == "Dataset001_Balls"
    assert "Dataset001_Balls_2d_2.mts.safetensors is in the list" in shown.ui.messageLabel.text


def test_a_folder_is_chosen_in_a_window_of_its_own(shown, trained, monkeypatch, until):
    dialog = sys.modules["qt"].QFileDialog
    monkeypatch.setattr(dialog, "getExistingDirectory", lambda *_arguments: str(trained))
    shown.ui.addFolderButton.click()
    assert until(lambda: not shown.control.is_running)
    assert shown._form.ui.sourceLabel.text == str(trained)


def test_what_the_worker_is_asked_for_says_no_more_than_the_folder_told(stand_ins):
    from MultiTaskSegLib.catalogue.import_form import ImportChoice

    renamed = {"place": ".", "trainer": "", "plans": "", "configuration": "", "folds": ["0"]}
    request = ImportChoice(renamed, ("0",), "a", "b").request()
    assert json.dumps(request) == '{"folds": ["0"], "licence": "b", "name": "a"}'
