"""One selector for each channel of the chosen task (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.runtime.model.header_file import manifest, task_entry, write_header_file
from Testing.slicer import scene_samples as samples


@pytest.fixture
def model(tmp_path) -> str:
    """One task of two channels, one of one."""
    tasks = (task_entry("Tumour", inputs=["T1", "FLAIR & co"]), task_entry("Skull"))
    return str(write_header_file(tmp_path / "both.mts.safetensors", manifest(*tasks)))


@pytest.fixture
def flair(panel):
    return samples.volume("oblique", name="FLAIR")


def rows(panel) -> list[tuple[str, bool]]:
    """Title of each selector below the first, and whether it is there."""
    return [(label.text, not selector.isHidden()) for label, selector in panel._channels._rows]


def choose(panel, model: str, task: str) -> None:
    panel.ui.modelPathLineEdit.currentPath = model
    panel.parameters.task = task


def test_a_task_of_two_channels_gets_two_selectors_with_its_names(panel, model):
    assert panel.ui.inputLabel.text == "Vo&lume:"
    assert rows(panel) == []
    choose(panel, model, "Tumour")
    assert panel.ui.inputLabel.text == "T1:"
    assert rows(panel) == [("FLAIR && co:", True)]
    panel.parameters.task = "Skull"
    assert panel.ui.inputLabel.text == "Vo&lume:"
    assert rows(panel) == [("FLAIR && co:", False)]
    panel.parameters.task = "auto"  # with one volume, as ever
    assert rows(panel) == [("FLAIR && co:", False)]


def test_nothing_can_be_started_before_every_channel_has_a_volume_of_its_own(panel, model, flair):
    choose(panel, model, "Tumour")
    assert "Choose a volume for FLAIR &amp; co" in panel.ui.preflightLabel.text
    assert not panel.ui.segmentButton.enabled
    selector = panel._channels._rows[0][1]
    selector.setCurrentNode(panel.parameters.inputVolume)
    assert "same volume" in panel.ui.preflightLabel.text
    selector.setCurrentNode(flair)
    assert panel.ui.preflightLabel.text == ""
    assert panel.ui.segmentButton.enabled


def test_the_run_gets_the_channels_in_the_order_of_the_task(panel, model, flair, segment):
    choose(panel, model, "Tumour")
    panel._channels._rows[0][1].setCurrentNode(flair)
    segmentation = segment()
    assert segmentation is not None
    assert segmentation.GetNodeReference("MultiTaskSeg.Channel2") is flair
    assert segmentation.GetNodeReference("MultiTaskSeg.Input") is panel.parameters.inputVolume


def test_what_is_wrong_with_a_further_channel_is_said_with_its_name(panel, model):
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    choose(panel, model, "Tumour")
    panel._channels._rows[0][1].setCurrentNode(labels)
    assert "FLAIR &amp; co: the volume is empty" in panel.ui.preflightLabel.text
    assert panel.ui.fixButton.isHidden()


def test_channels_are_kept_with_the_scene_and_gone_with_their_volume(panel, model, flair, session):
    choose(panel, model, "Tumour")
    panel._channels._rows[0][1].setCurrentNode(flair)
    panel.parameters.task = "Skull"
    panel.parameters.task = "Tumour"
    assert panel._channels._rows[0][1].currentNode() is flair
    slicer.mrmlScene.RemoveNode(flair)
    panel.onParametersChanged()
    assert "Choose a volume for FLAIR" in panel.ui.preflightLabel.text
    session.scene.Clear(1)
    assert rows(panel) == [("FLAIR && co:", False)]


def test_the_logic_takes_volumes_by_name_too(panel, model, flair):
    given = {"FLAIR & co": flair, "T1": panel.parameters.inputVolume}
    assert panel.logic.preflight(given, "Tumour", model) == []
    result = panel.logic.segment(given, task="Tumour", model=model)
    assert [one["name"] for one in result.report["further"]] == ["FLAIR"]


def test_a_batch_says_why_it_refuses_a_task_of_two_channels(panel, model):
    choose(panel, model, "Tumour")
    panel.ui.batchButton.click()
    assert "2 volumes (T1, FLAIR &amp; co)" in panel.ui.batchMessageLabel.text
