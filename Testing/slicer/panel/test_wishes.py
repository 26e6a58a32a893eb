"""Regions and structures in the panel (ON STAND-IN WIDGETS, WITH A REAL SCENE)."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")
from MultiTaskSegLib.scene.attributes import read_verdict
from MultiTaskSegLib.task_list import KnownTask, known_tasks, offered_structures
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file


@pytest.fixture
def qt(panel):
    """The stand-in, which is there with the panel."""
    import qt

    return qt


def wanted(parameters, tasks) -> list[str]:
    from MultiTaskSegLib.panel.wish.structure_choice import wanted_structures

    return wanted_structures(parameters, tasks)


@pytest.fixture
def model(tmp_path) -> str:
    """Two tasks of three structures."""
    labels = [{"name": name} for name in ("left_lung", "right_lung", "heart")]
    tasks = [{**task_entry(name), "labels": labels} for name in ("Chest", "Thorax")]
    return str(write_header_file(tmp_path / "chest.mts.safetensors", manifest(*tasks)))


def ticks(panel) -> list[tuple[str, bool]]:
    import qt

    items = panel.ui.structuresListWidget
    return [(items.item(row).text(), items.item(row).checkState() == qt.Qt.Checked) for row in range(items.count)]


def choose(panel, model: str, task: str) -> None:
    panel.ui.modelPathLineEdit.currentPath = model
    panel.parameters.task = task


def test_all_structures_of_the_chosen_task_are_ticked_and_those_of_none_are_shown(panel, model):
    assert panel.ui.structuresListWidget.isHidden()
    choose(panel, model, "Chest")
    assert ticks(panel) == [("left lung", True), ("right lung", True), ("heart", True)]
    assert not panel.ui.structuresListWidget.isHidden()
    assert wanted(panel.parameters, known_tasks(model)) == []
    panel.parameters.task = "auto"
    assert panel.ui.structuresListWidget.isHidden()


def test_what_is_left_out_is_remembered_for_each_task(panel, model, qt):
    choose(panel, model, "Chest")
    panel.ui.structuresListWidget.item(2).setCheckState(qt.Qt.Unchecked)
    assert wanted(panel.parameters, known_tasks(model)) == ["left_lung", "right_lung"]
    panel.parameters.task = "Thorax"
    assert all(is_on for _, is_on in ticks(panel))
    panel.parameters.task = "Chest"
    assert ticks(panel)[2] == ("heart", False)
    assert json.loads(qt.QSettings().value("MultiTaskSeg/leftOut")) == {"Chest": ["heart"]}
    panel.ui.structuresListWidget.item(2).setCheckState(qt.Qt.Checked)
    assert panel.parameters.leftOut == "{}"


@pytest.fixture
def other_model(models) -> str:
    """Another model that knows one of the tasks, with other structures; both are in the list."""
    labels = [{"name": name} for name in ("left_lung", "right_lung", "trachea")]
    for name, task in (("one", "Chest"), ("two", "Chest")):
        own = [{"name": "heart"}] if name == "one" else [{"name": "trachea"}]
        described = manifest({**task_entry(task), "labels": labels[:2] + own})
        write_header_file(models / f"{name}.mts.safetensors", described)
    return str(models / "two.mts.safetensors")


def test_of_models_that_know_a_task_with_other_structures_those_of_the_chosen_one_are_shown(
    panel, model, qt, other_model
):
    choose(panel, model, "Chest")
    panel.ui.structuresListWidget.item(2).setCheckState(qt.Qt.Unchecked)
    choose(panel, other_model, "Chest")
    assert ticks(panel) == [("left lung", True), ("right lung", True), ("trachea", True)]
    panel.ui.structuresListWidget.item(0).setCheckState(qt.Qt.Unchecked)
    assert wanted(panel.parameters, known_tasks(other_model)) == ["right_lung", "trachea"]
    choose(panel, model, "Chest")
    assert ticks(panel) == [("left lung", False), ("right lung", True), ("heart", False)]


def test_where_which_structures_there_are_depends_on_the_model_all_are_meant_until_one_is_chosen(
    panel, other_model, qt
):
    choose(panel, other_model, "Chest")
    panel.ui.structuresListWidget.item(0).setCheckState(qt.Qt.Unchecked)
    panel.parameters.modelPath = ""
    assert panel.ui.structuresListWidget.count == 1
    only = panel.ui.structuresListWidget.item(0)
    assert "depends on the model" in only.text()
    assert only.flags() == qt.Qt.NoItemFlags
    assert wanted(panel.parameters, known_tasks()) == []
    choose(panel, other_model, "Chest")
    assert ticks(panel)[0] == ("left lung", False)


def test_the_same_structures_of_a_volume_and_a_planar_task_are_told_and_others_are_not():
    same = [KnownTask("Chest", structures=("a", "b")), KnownTask("Chest", is_planar=True, structures=("b", "a"))]
    assert offered_structures(same, "Chest") == ("a", "b")
    assert offered_structures([same[0], KnownTask("Chest", is_planar=True, structures=("c",))], "Chest") is None
    assert offered_structures(same, "Thorax") == ()


@pytest.mark.parametrize("button", ["segmentButton", "batchButton"])
def test_without_any_tick_nothing_starts_and_all_is_not_meant(panel, model, qt, worker, button):
    choose(panel, model, "Chest")
    for row in range(3):
        panel.ui.structuresListWidget.item(row).setCheckState(qt.Qt.Unchecked)
    getattr(panel.ui, button).click()
    shown = panel.ui.messageLabel if button == "segmentButton" else panel.ui.batchMessageLabel
    assert "no structure is ticked" in shown.text
    assert panel.ui.segmentButton.text == "Segment"


def test_the_only_structure_of_a_task_is_wanted_though_it_was_left_out_of_those_of_another_model(qt):
    parameters = SimpleNamespace(task="Chest", leftOut=json.dumps({"Chest": ["heart"]}))
    assert wanted(parameters, [KnownTask("Chest", structures=("heart",))]) == []
    assert wanted(parameters, [KnownTask("Chest", structures=("heart", "aorta"))]) == ["aorta"]


@pytest.mark.parametrize("text", ["", "no JSON", "[1]"])
def test_a_list_that_cannot_be_read_leaves_nothing_out(panel, text):
    panel.parameters.leftOut = text
    panel.parameters.task = "Chest"
    assert wanted(panel.parameters, [KnownTask("Chest", structures=("a", "b"))]) == []


def test_a_region_is_made_of_the_views_and_selected(panel):
    assert panel.ui.wholeCheckBox.isHidden()
    panel.ui.regionFromViewsButton.click()
    node = panel.parameters.region
    bounds = np.zeros(6)
    panel.parameters.inputVolume.GetRASBounds(bounds)
    np.testing.assert_allclose(node.GetSize(), bounds[1::2] - bounds[::2])  # no view shows less
    assert panel.ui.regionSelector.currentNode() is node
    assert not panel.ui.wholeCheckBox.isHidden()


def test_the_worker_is_asked_for_the_region_and_the_structures(panel, segment, worker, monkeypatch):
    asked = {}
    start = panel.logic.start

    def noted(*arguments, **wish):
        asked.update(wish)
        return start(*arguments, **wish)

    monkeypatch.setattr(panel.logic, "start", noted)
    panel.ui.regionFromViewsButton.click()
    panel.parameters.wholeCheck = True
    segmentation = segment()
    assert asked["region"] is panel.parameters.region
    assert asked["wholeCheck"] is True
    wish = json.loads(segmentation.GetAttribute("MultiTaskSeg.Parameters"))
    np.testing.assert_allclose(wish["region"]["size_mm"], panel.parameters.region.GetSize())
    assert wish["whole_check"] is True


def test_a_region_that_means_nothing_is_told_and_nothing_starts(panel):
    panel.parameters.region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Empty")
    panel.ui.segmentButton.click()
    assert "the region has no size" in panel.ui.messageLabel.text
    assert panel.ui.segmentButton.text == "Segment"


def test_the_banner_says_what_the_verdict_is_about(panel, segment):
    from MultiTaskSegLib.panel.verdict_banner import verdict_banner

    verdict = read_verdict(segment())
    assert "whole image" not in verdict_banner(verdict)
    assert "The verdict is about the whole image" in verdict_banner(verdict, is_region=True)
    assert "only a region was segmented" in verdict_banner(None, is_region=True)
    assert "no reference images" in verdict_banner(None)


def test_a_thorough_check_is_asked_for_and_its_time_is_told_beforehand(panel, segment, worker):
    assert panel.ui.thoroughCheckBox.text == "Thorough check, 3 times as long"
    segmentation = segment()
    assert "thorough" not in json.loads(segmentation.GetAttribute("MultiTaskSeg.Parameters"))
    segmentation.SetAttribute("MultiTaskSeg.Seconds", "2.5")
    panel.onParametersChanged()
    assert panel.ui.thoroughCheckBox.text == "Thorough check, about 5 s more"
    panel.ui.thoroughCheckBox.checked = True
    assert panel.parameters.thorough is True
    panel.parameters.existing = "keep"
    second = segment()
    assert second is not segmentation
    assert json.loads(second.GetAttribute("MultiTaskSeg.Parameters"))["thorough"] is True
    told = panel.ui.resultLabel.text
    assert "Thorough check:" in told
    assert "2 further looks agree with a Dice of 0.83" in told
    panel.ui.thoroughCheckBox.checked = False
    third = segment()
    assert third.GetAttribute("MultiTaskSeg.Thorough") is None
    assert "Thorough check:" not in panel.ui.resultLabel.text
