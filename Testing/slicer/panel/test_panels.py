"""The panels of both modules ON STAND-IN WIDGETS (see ``stand_ins``), the real .ui files and a stand-in worker."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.scene import attributes
from Testing.slicer import scene_samples as samples

FAKE_WORKER = str(Path(__file__).resolve().parents[1].joinpath("fake_worker.py"))


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Chooses how the stand-in worker behaves; its files go to a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def choose(behaviour: str) -> None:
        monkeypatch.setattr(job, "_shared", JobRunner([sys.executable, FAKE_WORKER, behaviour]))

    choose("good")
    yield choose
    job.shared_runner().close()


@pytest.fixture
def until():
    from Testing.slicer.stand_ins.panel import run_event_loop_until

    return run_event_loop_until


def press(button) -> None:
    button.click()


def test_the_first_volume_is_selected_and_the_button_enabled(open_panel, worker):
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    assert widget.ui.inputSelector.currentNode().GetName() == "Scan"
    assert widget.ui.segmentButton.enabled
    assert not widget.ui.show3DButton.enabled


def test_without_a_volume_nothing_can_be_started(open_panel, worker):
    for name, button in (("MultiTaskSeg", "segmentButton"), ("OODCheck", "checkButton")):
        assert not getattr(open_panel(name).ui, button).enabled


def test_selecting_a_volume_enables_the_button(open_panel, worker):
    widget = open_panel("MultiTaskSeg")
    widget.ui.inputSelector.setCurrentNode(samples.volume())
    assert widget.ui.segmentButton.enabled


@pytest.mark.parametrize("name", ["MultiTaskSeg", "OODCheck"])
def test_entering_a_module_selects_a_volume_that_was_loaded_meanwhile(open_panel, worker, name):
    widget = open_panel(name)
    volume = samples.volume()
    getattr(widget, "exit", lambda: None)()  # Slicer calls it where there is one
    widget.enter()
    assert widget.ui.inputSelector.currentNode() is volume


def test_a_run_ends_with_nodes_in_the_scene_and_words_in_the_panel(open_panel, worker, until):
    volume = samples.volume("oblique")
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    assert widget.ui.segmentButton.text == "Cancel"
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    parameters = widget.logic.getParameterNode()
    voxels = slicer.util.arrayFromVolume(volume)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.segmentation, "bright", volume)
    np.testing.assert_array_equal(mask, voxels > voxels.mean())
    assert "IN DISTRIBUTION" in widget.ui.resultLabel.text
    assert "#1b7f3b" in widget.ui.resultLabel.text
    assert attributes.read_verdict(volume).nearest_task == "phantom"
    assert widget.ui.show3DButton.enabled


def test_the_progress_is_shown_with_the_time_left(open_panel, worker, until):
    worker("slow")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.progressBar.value == 25)
    assert widget.ui.progressLabel.text == "network: 25 %, about 3 s left"


def test_cancel_ends_the_run_and_leaves_scene_and_disk_as_they_were(open_panel, worker, until, tmp_path):
    worker("slow")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    before = slicer.mrmlScene.GetNumberOfNodes()
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.progressBar.value == 25)
    press(widget.ui.segmentButton)
    assert widget.ui.segmentButton.text == "Segment"
    assert "cancelled" in widget.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert list(tmp_path.glob("multitaskseg-*")) == []


def test_removing_the_volume_during_a_run_cancels_it_with_a_message(open_panel, worker, until):
    worker("slow")
    volume = samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    slicer.mrmlScene.RemoveNode(volume)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    assert "the volume &#x27;Scan&#x27; was removed" in widget.ui.messageLabel.text


def test_closing_the_scene_during_a_run_cancels_it_with_a_message(open_panel, worker, until):
    worker("slow")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    slicer.mrmlScene.Clear(0)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    assert "the scene was closed" in widget.ui.messageLabel.text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_crash_is_told_in_the_panel_and_the_next_run_works(open_panel, worker, until):
    worker("crash")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    assert "last words" in widget.ui.messageLabel.text
    job.shared_runner()._command = [sys.executable, FAKE_WORKER, "good"]
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    assert "IN DISTRIBUTION" in widget.ui.resultLabel.text


def test_a_volume_that_cannot_be_segmented_is_refused_in_the_panel(open_panel, worker):
    samples.warp_transform(samples.volume())
    widget = open_panel("MultiTaskSeg")
    assert "non-linear transform" in widget.ui.preflightLabel.text
    assert not widget.ui.segmentButton.enabled


def test_while_one_module_runs_the_other_refuses(open_panel, worker, until):
    worker("slow")
    samples.volume()
    first, second = open_panel("MultiTaskSeg"), open_panel("OODCheck")
    press(first.ui.segmentButton)
    press(second.ui.checkButton)
    assert "another run is under way" in second.ui.messageLabel.text
    second.enter()
    assert not second.ui.checkButton.enabled
    press(first.ui.segmentButton)
    assert until(lambda: second.ui.checkButton.enabled)


def test_unloading_the_module_ends_its_run(open_panel, worker, tmp_path):
    worker("slow")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    widget.cleanup()
    assert list(tmp_path.glob("multitaskseg-*")) == []


def test_the_display_controls_reach_the_slice_views(open_panel, worker, until, session):
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(session.application_logic)
    logic.SetMRMLScene(session.scene)
    logic.AddSliceNode("Red")
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    composite = logic.GetSliceCompositeNode()
    heatmap = widget.logic.getParameterNode().segmentation.GetNodeReference("MultiTaskSeg.Uncertainty")
    assert composite.GetForegroundVolumeID() == heatmap.GetID()
    widget.ui.opacitySlider.value = 0.3
    widget.ui.thresholdSlider.value = 0.7
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    assert heatmap.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.7)
    widget.ui.uncertaintyCheckBox.checked = False
    assert composite.GetForegroundOpacity() == 0.0


def test_choosing_a_model_offers_its_tasks_and_the_choice_is_sent(open_panel, worker, until, tmp_path):
    import json
    import struct

    manifest = json.dumps({"tasks": [{"name": "heart"}, {"name": "brain"}]})
    header = json.dumps({"__metadata__": {"manifest": manifest}}).encode()
    model = tmp_path / "modèle.mts.safetensors"
    model.write_bytes(struct.pack("<Q", len(header)) + header)
    samples.volume()
    widget = open_panel("MultiTaskSeg")
    widget.ui.modelPathLineEdit.currentPath = str(model)
    names = [widget.ui.taskComboBox.itemText(index) for index in range(widget.ui.taskComboBox.count)]
    assert names == ["Recognise automatically", "heart", "brain"]
    widget.ui.taskComboBox.setCurrentIndex(2)
    press(widget.ui.segmentButton)
    assert until(lambda: widget.ui.segmentButton.text == "Segment")
    segmentation = widget.logic.getParameterNode().segmentation
    assert segmentation.GetAttribute("MultiTaskSeg.Task") == "brain"
    assert segmentation.GetAttribute("MultiTaskSeg.Model").endswith("modèle.mts.safetensors")


def test_segment_from_python_returns_nodes_and_verdict(open_panel, worker):
    volume = samples.volume("left-handed")
    result = open_panel("MultiTaskSeg").logic.segment(volume, task="phantom", device="cpu")
    assert result.segmentation.GetSegmentation().GetNthSegment(0).GetName() == "bright part"
    assert slicer.util.arrayFromVolume(result.uncertainty).shape == (9, 12, 15)
    assert result.ood.nearest_task == "phantom"
    assert result.report["task"] == "phantom"


def test_the_modules_describe_themselves(stand_ins, session):
    import types

    from Testing.slicer.stand_ins.panel import load_module

    for name in ("MultiTaskSeg", "OODCheck"):
        parent = types.SimpleNamespace()
        getattr(load_module(name), name)(parent)
        assert parent.title
        assert parent.categories == ["Segmentation"]
        assert "Not for clinical use" in parent.helpText
