"""The loop in the panel (ON STAND-IN WIDGETS): regions worked off, corrections shown, cases kept, trainings found."""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.learning import shared_training
from MultiTaskSegLib.learning.trainer_python import TrainerPython
from MultiTaskSegLib.runtime.errors import Cancelled, ResourceError
from Testing.slicer import scene_samples as samples
from Testing.slicer.correction.test_correcting import EditorStandIn, install


@pytest.fixture
def trainer_packages(stand_ins, session):
    """The module, which needs ``qt``."""
    return importlib.import_module("MultiTaskSegLib.installation.trainer_packages")


@pytest.fixture
def learn(panel):
    """Widgets of the section that learns."""
    return panel._loop.ui


@pytest.fixture
def uncertain(panel, segment):
    """A result with two uncertain regions, the larger one within its segment."""
    segmentation = segment()
    voxels = np.zeros((9, 12, 15), np.float32)
    voxels[1, 1, 1] = 0.9
    voxels[5:8, 5:8, 5:8] = 0.8
    slicer.util.updateVolumeFromArray(segmentation.GetNodeReference("MultiTaskSeg.Uncertainty"), voxels)
    return segmentation


def cells(panel) -> list[str]:
    table = panel.ui.segmentTableWidget
    return [table.item(0, column).text() for column in range(table.columnCount)]


def paint(segmentation, value: int) -> None:
    volume = segmentation.GetNodeReference("MultiTaskSeg.Input")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "bright", volume)
    mask[0, 0, 0] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "bright", volume)


def test_regions_are_worked_off_one_by_one_with_what_is_done_and_left_in_sight(panel, uncertain):
    ui = panel.ui
    assert not ui.regionDoneButton.enabled
    ui.nextRegionButton.click()
    assert (ui.regionLabel.text.split(":")[0], ui.worklistLabel.text) == ("1 of 2", "0 done, 2 left")
    ui.regionDoneButton.click()  # goes on by itself
    assert (ui.regionLabel.text.split(":")[0], ui.worklistLabel.text) == ("2 of 2", "1 done, 1 left")
    assert not ui.regionDoneButton.checked
    ui.nextRegionButton.click()
    assert ui.regionLabel.text.startswith("2 of 2")  # the other one is done
    ui.regionDoneButton.click()
    assert (ui.regionDoneButton.checked, ui.worklistLabel.text) == (True, "2 done, 0 left")
    ui.regionDoneButton.click()
    assert (ui.regionDoneButton.checked, ui.worklistLabel.text) == (False, "1 done, 1 left")
    assert uncertain.GetAttribute("MultiTaskSeg.Regions.Done") == "[[6, 6, 6]]"


def test_the_editor_opens_at_the_region_that_is_shown_or_for_the_structure_that_is_selected(
    panel, uncertain, session, monkeypatch
):
    ui, editor = panel.ui, EditorStandIn()
    panel.onParametersChanged()
    assert not ui.correctButton.enabled  # there is no editor, and nothing to correct
    turned = install(session, monkeypatch, "SegmentEditor", editor=editor)
    ui.nextRegionButton.click()
    assert ui.correctButton.enabled
    assert ui.correctToolComboBox.isHidden()  # there is one only
    ui.correctButton.click()
    assert turned == ["SegmentEditor"]
    assert editor.told[2:] == [("setCurrentSegmentID", "bright"), ("setActiveEffectByName", "Erase")]
    install(session, monkeypatch, "SlicerNNInteractive", ui=types.SimpleNamespace())
    ui.segmentTableWidget.selectRow(0)
    assert not ui.correctToolComboBox.isHidden()
    ui.correctToolComboBox.setCurrentIndex(1)
    ui.correctButton.click()
    assert "nnInteractive cannot be told what to correct" in ui.messageLabel.text
    ui.nextRegionButton.click()
    assert ui.segmentTableWidget.selectedIndexes() == []


def test_a_corrected_structure_is_shown_as_such_without_the_model_s_figures_until_it_is_undone(panel, segment, until):
    segmentation = segment()
    before = cells(panel)
    sys.modules["MultiTaskSegLib.loop.scene_watch"].shared_watch()._later._timer.setInterval(20)
    paint(segmentation, 1)
    assert until(lambda: cells(panel)[2:] == ["corrected", "", ""], 5)
    assert cells(panel)[0] == "bright part"
    assert "no longer holds" in panel.ui.segmentTableWidget.item(0, 0).toolTip()
    assert panel.ui.worklistLabel.text == "1 corrected"
    paint(segmentation, 0)
    assert until(lambda: cells(panel) == before, 5)


def test_results_become_cases_by_two_buttons_and_refusals_are_told(panel, learn, segment, tmp_path, models):
    assert not learn.addToDatasetButton.enabled
    segmentation = segment()
    learn.datasetPathLineEdit.currentPath = str(tmp_path / "Dataset1_Mine")
    learn.addToDatasetButton.click()
    assert "Name the channels" in learn.datasetMessageLabel.text  # the stand-in's model says nothing
    learn.channelNamesLineEdit.text = "T1"
    learn.addAllButton.click()
    assert "no result of the scene was corrected" in learn.datasetMessageLabel.text
    learn.addToDatasetButton.click()
    assert "added to the new dataset" in learn.datasetMessageLabel.text
    assert (tmp_path / "Dataset1_Mine/labelsTr/Scan.nrrd").is_file()
    learn.addToDatasetButton.click()
    assert "nothing is overwritten" in learn.datasetMessageLabel.text
    assert segmentation.GetAttribute("MultiTaskSeg.Dataset.Cases")
    panel.ui.inputSelector.setCurrentNode(samples.volume("oblique", "other"))
    slicer.util.arrayFromVolume(panel.parameters.inputVolume)[0, 0, 0] = 77
    paint(segment(), 1)
    segmentation.RemoveAttribute("MultiTaskSeg.Dataset.Cases")  # as of a scene from before
    paint(segmentation, 1)
    learn.addAllButton.click()
    added, left_out = learn.datasetMessageLabel.text.split("Left out: ")
    assert "other" in added
    assert "the image Scan is in the dataset already" in left_out


def test_without_a_folder_it_is_asked_for_and_remembered(
    panel, learn, segment, tmp_path, models, stand_ins, monkeypatch
):
    segment()
    answers = ["", str(tmp_path / "d")]
    dialog = types.SimpleNamespace(getExistingDirectory=lambda _parent, _title: answers.pop(0))
    monkeypatch.setattr(sys.modules["qt"], "QFileDialog", dialog)
    learn.channelNamesLineEdit.text = "T1"
    learn.addToDatasetButton.click()
    assert learn.datasetMessageLabel.isHidden()  # the window was closed
    learn.addToDatasetButton.click()
    assert "added to" in learn.datasetMessageLabel.text
    assert slicer.util.settingsValue("MultiTaskSeg/datasetFolder", "") == str(tmp_path / "d")


@pytest.fixture
def trains(learn, tmp_path, models, fake_trainer, monkeypatch):
    """Chooses what the trainer does, with everything set for a training from the beginning."""
    learn.datasetPathLineEdit.currentPath = str(tmp_path)
    learn.startFromComboBox.setCurrentIndex(1)

    def choose(behaviour: str) -> None:
        python = fake_trainer(behaviour)
        monkeypatch.setattr(sys.modules["MultiTaskSegLib.loop.training_view"], "ensure_trainer", lambda _path: python)

    return choose


def test_a_training_shows_progress_and_dice_and_its_model_can_be_used(panel, learn, trains, until, models):
    trains("good")
    learn.trainButton.click()
    assert until(lambda: learn.trainButton.text == "Train")
    assert "is among your models" in learn.trainingLabel.text
    learn.useModelButton.click()
    assert learn.useModelButton.isHidden()
    assert panel.parameters.modelPath == str(next(models.glob("*.safetensors")))


def test_a_training_survives_the_panel_and_is_found_again_by_the_next_one(
    panel, learn, trains, until, open_panel, models
):
    trains("slow")
    learn.trainButton.click()
    assert learn.trainButton.text == "Cancel training"
    assert until(lambda: "Dice of held-out cases: Dataset1 0.50" in learn.trainingLabel.text)
    assert "25 %, about 65 s left" in learn.trainingLabel.text
    panel.cleanup()
    again = open_panel("MultiTaskSeg")._loop.ui
    assert again.trainButton.text == "Cancel training"
    again.trainButton.click()
    assert again.trainButton.text == "Train"
    assert "was cancelled" in again.trainingLabel.text
    assert list(models.iterdir()) == []


@pytest.mark.parametrize(("behaviour", "words"), [("refuse", "too few groups"), ("crash", "planted fault")])
def test_a_training_that_fails_is_told_in_the_trainer_s_words(learn, trains, until, behaviour, words):
    trains(behaviour)
    learn.trainButton.click()
    assert until(lambda: words in learn.trainingLabel.text)


def test_what_cannot_be_trained_is_refused_in_words(panel, learn, trains, segment):
    trains("good")
    learn.startFromComboBox.setCurrentIndex(0)
    learn.trainButton.click()
    assert "no result whose model" in learn.trainingLabel.text
    learn.startFromComboBox.setCurrentIndex(1)
    learn.datasetPathLineEdit.currentPath = ""
    learn.trainButton.click()
    assert "no dataset" in learn.trainingLabel.text
    assert shared_training.current_training() is None


def test_the_watch_begins_when_slicer_has_started_also_when_no_panel_is_opened(panel, monkeypatch):
    connected = []
    monkeypatch.setattr(slicer.app, "connect", lambda signal, slot: connected.append((signal, slot)))
    sys.modules["MultiTaskSeg"].MultiTaskSeg(types.SimpleNamespace())
    watch = sys.modules["MultiTaskSegLib.loop.scene_watch"].shared_watch
    assert ("startupCompleted()", watch) in connected
    assert watch() is watch()


def test_the_section_is_built_like_the_panel_around_it(repository):
    folder = repository / "MultiTaskSeg" / "Resources" / "UI"
    trees = [ElementTree.parse(folder / f"{name}.ui") for name in ("MultiTaskSeg", "LearnPanel")]
    letters = [re.findall(r"&(\w)", " ".join(tree.getroot().itertext()).upper()) for tree in trees]
    # The panel has taken nearly all of the alphabet.
    assert letters[1] == ["X"]
    assert len(letters[0]) == len(set(letters[0]))
    assert not set(letters[1]) & {*letters[0], *"FEVH"}  # of the panel, and of Slicer's own menus
    section = trees[1]
    named = {widget.get("name"): widget for widget in section.iter("widget")}
    controls = [name for name in named if named[name].get("class") not in ("QLabel", "QWidget", "QProgressBar")]
    assert [stop.text for stop in section.iter("tabstop")] == controls
    for name, widget in named.items():
        is_filled_in = widget.get("class") == "QLabel" and widget.find("property[@name='buddy']") is None
        if is_filled_in or widget.get("class") == "ctkPathLineEdit":
            assert widget.find("property[@name='sizePolicy']/sizepolicy").get("hsizetype") == "Ignored", name


class Trainers:
    """What ``find_trainer`` finds, one after the other."""

    def __init__(self, *missing: tuple[str, ...], is_own: bool = True) -> None:
        self.left = [TrainerPython("/python", one, is_own) for one in missing]

    def __call__(self, _chosen: str = "") -> TrainerPython:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.fixture
def found(trainer_packages, monkeypatch):
    """Says what is found, and notes what is installed."""
    installed: list[str] = []
    monkeypatch.setattr(trainer_packages, "ensure_packages", lambda: installed.append("torch"))

    def say(trainers: Trainers, declines: bool = False) -> list[str]:
        def ensure(path) -> None:
            if declines:
                raise Cancelled("the packages were not installed")
            installed.append(path.name)

        monkeypatch.setattr(trainer_packages, "find_trainer", trainers)
        monkeypatch.setattr(trainer_packages, "ensure_requirements", ensure)
        return installed

    return say


def test_packages_are_asked_for_first_and_installed_in_slicer_s_own_python_only(found, trainer_packages):
    assert found(Trainers(())) == []
    assert trainer_packages.ensure_trainer().is_ready
    installed = found(Trainers(("sklearn",), ()))
    assert trainer_packages.ensure_trainer().is_ready
    assert installed == ["torch", "trainer_requirements.txt"]
    installed.clear()
    found(Trainers(("sklearn",)), declines=True)
    with pytest.raises(Cancelled):
        trainer_packages.ensure_trainer()
    installed.clear()
    found(Trainers(("sklearn",), is_own=False))
    with pytest.raises(ResourceError, match=r"missing in this Python: sklearn.*pip install"):
        trainer_packages.ensure_trainer("/python")
    assert installed == []


def test_where_there_is_no_trainer_it_is_said_how_to_get_it(found, trainer_packages):
    installed = found(Trainers(("trainer", "sklearn")))
    with pytest.raises(ResourceError, match=r"not part of the extension.*source code"):
        trainer_packages.ensure_trainer()
    assert installed == []
    found(Trainers(("sklearn",), ("sklearn",)))
    slicer.app.testingEnabled = lambda: True  # nothing is installed while Slicer tests
    with pytest.raises(ResourceError, match="missing in this Python"):
        trainer_packages.ensure_trainer()


def test_the_requirements_are_those_of_the_extra(repository, trainer_packages):
    from packaging.requirements import Requirement

    line = re.search(r"^trainer = (\[.*\])$", (repository / "pyproject.toml").read_text(), re.MULTILINE)
    extra = json.loads(line[1])
    lines = trainer_packages.trainer_requirements_path().read_text().splitlines()
    wanted = {str(Requirement(line)) for line in lines if line and not line.startswith("#")}
    assert wanted == {str(Requirement(line)) for line in extra if not line.startswith("tomli")}


@pytest.mark.parametrize("button", ["nextRegionButton", "regionDoneButton"])
def test_a_map_that_was_removed_meanwhile_is_told(panel, uncertain, button):
    panel.ui.nextRegionButton.click()
    slicer.mrmlScene.RemoveNode(uncertain.GetNodeReference("MultiTaskSeg.Uncertainty"))
    getattr(panel.ui, button).click()
    assert "not in the scene any more" in panel.ui.regionLabel.text
    assert not panel.ui.nextRegionButton.enabled
    assert not panel.ui.regionDoneButton.enabled
