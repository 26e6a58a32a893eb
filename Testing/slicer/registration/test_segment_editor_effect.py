"""The effect in the Segment Editor: real segmentations and their real history, ON STAND-INS for the editor itself."""

from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene.attributes import read_verdict
from MultiTaskSegLib.scene.segmentation import add_segmentation
from Testing.slicer import scene_samples as samples

FOLDER = "SegmentEditorMultiTaskSegLib"


@pytest.fixture
def editor(stand_ins, open_panel, worker, monkeypatch):
    """A Segment Editor for whose effects the module MultiTaskSeg is there."""
    from Testing.slicer.stand_ins import segment_editor

    panel = open_panel("MultiTaskSeg")
    made = segment_editor.SegmentEditor(stand_ins)
    made.panel = panel
    base = types.ModuleType("SegmentEditorEffects")
    base.AbstractScriptedSegmentEditorEffect = segment_editor.AbstractScriptedSegmentEditorEffect
    monkeypatch.setitem(sys.modules, "SegmentEditorEffects", base)
    effects = segment_editor.effects_module(made)
    monkeypatch.setitem(sys.modules, effects.__name__, effects)
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: {"MultiTaskSeg": panel.logic}[name])
    monkeypatch.setattr(slicer, FOLDER, None, raising=False)
    monkeypatch.delattr(slicer, FOLDER)
    monkeypatch.setitem(sys.modules, FOLDER, None)
    monkeypatch.delitem(sys.modules, FOLDER)
    assert importlib.import_module("MultiTaskSegLib.registration.editor_effect").register_effect()
    yield made
    made.close()
    monkeypatch.delattr(slicer, FOLDER, raising=False)


@pytest.fixture
def edited(editor):
    """A volume and a segmentation of it with two segments, which are being edited."""
    volume = samples.volume("oblique")
    segmentation = add_segmentation(volume, samples.labels(), samples.LEGEND, "edited")
    editor.edit(volume, segmentation)
    return volume, segmentation


@pytest.fixture
def applied(editor, edited, until):
    """Presses the button and waits for the end: ``effect = applied()``."""

    def run():
        effect = editor.open("MultiTaskSeg")
        effect.applyButton.click()
        assert effect.applyButton.text == "Cancel"
        assert until(lambda: effect.applyButton.text == "Segment")
        return effect

    return run


def names(segmentation) -> list[str]:
    segments = segmentation.GetSegmentation()
    return [segments.GetNthSegment(number).GetName() for number in range(segments.GetNumberOfSegments())]


def mask(segmentation, segment_id, volume) -> np.ndarray:
    return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume))


def test_the_segments_are_added_where_the_image_says_and_the_others_stay(applied, edited):
    volume, segmentation = edited
    before = mask(segmentation, "anterior", volume)
    applied()
    assert names(segmentation)[:2] == ["anterior hippocampus", "posterior hippocampus"]
    assert len(names(segmentation)) == 3
    new = segmentation.GetSegmentation().GetNthSegmentID(2)
    voxels = slicer.util.arrayFromVolume(volume)
    np.testing.assert_array_equal(mask(segmentation, new, volume), voxels > voxels.mean())
    np.testing.assert_array_equal(mask(segmentation, "anterior", volume), before)


def test_undo_takes_the_new_segments_away_again(editor, applied, edited):
    volume, segmentation = edited
    before = names(segmentation)
    applied()
    editor.undo()
    assert names(segmentation) == before
    assert mask(segmentation, "anterior", volume).any()


def test_a_second_run_adds_segments_of_their_own(editor, edited, applied, until):
    effect = applied()
    effect.applyButton.click()
    assert until(lambda: effect.applyButton.text == "Segment")
    segments = edited[1].GetSegmentation()
    assert len({segments.GetNthSegmentID(number) for number in range(4)}) == 4


def test_each_segment_has_terminology_and_the_verdict_and_the_volume_too(applied, edited):
    volume, segmentation = edited
    effect = applied()
    segment = segmentation.GetSegmentation().GetNthSegment(2)
    for tag in ("MultiTaskSeg.OOD", "MultiTaskSeg.Model.SHA256", slicer.vtkSegment.GetTerminologyEntryTagName()):
        assert segment.HasTag(tag), tag
    assert read_verdict(volume) is not None
    assert "IN DISTRIBUTION" in effect.resultLabel.text


def test_an_image_out_of_distribution_marks_its_segments_and_says_so(applied, edited, worker):
    worker("foreign")
    effect = applied()
    assert names(edited[1])[2].endswith("[OUT OF DISTRIBUTION]")
    assert not any(name.endswith("[OUT OF DISTRIBUTION]") for name in names(edited[1])[:2])
    assert "OUT OF DISTRIBUTION" in effect.resultLabel.text


def test_an_empty_result_adds_nothing(applied, edited, worker):
    worker("empty")
    applied()
    assert len(names(edited[1])) == 2


def test_a_second_click_cancels_and_nothing_is_added(editor, edited, worker):
    worker("slow")
    effect = editor.open("MultiTaskSeg")
    effect.applyButton.click()
    effect.applyButton.click()
    assert effect.applyButton.text == "Segment"
    assert "cancelled" in effect.resultLabel.text
    assert len(names(edited[1])) == 2


def test_the_result_goes_to_the_segmentation_for_which_it_was_asked(editor, edited, until):
    volume, segmentation = edited
    other = add_segmentation(volume, samples.labels(), samples.LEGEND, "other")
    effect = editor.open("MultiTaskSeg")
    effect.applyButton.click()
    editor.edit(volume, other)
    assert until(lambda: effect.applyButton.text == "Segment")
    assert (len(names(segmentation)), len(names(other))) == (3, 2)
    assert not editor.history.IsRestorePreviousStateAvailable()  # it would belong to the other one


def test_a_segmentation_that_is_gone_or_elsewhere_is_refused_in_words(editor, edited, until):
    segmentation = edited[1]
    effect = editor.open("MultiTaskSeg")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    effect.applyButton.click()
    assert "different transforms" in effect.resultLabel.text
    segmentation.SetAndObserveTransformNodeID(None)
    effect.applyButton.click()
    slicer.mrmlScene.RemoveNode(segmentation)
    assert until(lambda: effect.applyButton.text == "Segment")
    assert "no segmentation" in effect.resultLabel.text


def test_without_a_source_volume_the_button_is_off(editor, edited):
    effect = editor.open("MultiTaskSeg")
    assert effect.applyButton.enabled
    editor.edit(None, edited[1])
    assert not effect.applyButton.enabled


def test_taking_the_effect_down_ends_its_run(editor, edited, worker):
    folder = worker("slow")
    effect = editor.open("MultiTaskSeg")
    effect.applyButton.click()
    effect.cleanup()
    assert list(folder.iterdir()) == []


def test_it_is_registered_once_under_a_name_that_is_not_translated(editor):
    assert [effect.name for effect in editor.registered] == ["MultiTaskSeg"]
    assert not editor.registered[0].perSegment
    assert not editor.registered[0].requireSegments  # an empty segmentation will do
    assert not importlib.import_module("MultiTaskSegLib.registration.editor_effect").register_effect()
    assert not editor.registered[0].self().icon().isNull()
    assert editor.registered[0].self().helpText()


def test_a_model_that_is_not_the_released_one_is_named_and_one_that_was_cleared_is_used_no_more(editor, edited):
    field = editor.panel.ui.modelPathLineEdit
    field.currentPath = str(importlib.import_module("MultiTaskSegLib.registration.sample_data").sample_model())
    effect = editor.open("MultiTaskSeg")
    assert "phantom.mts.safetensors" in effect.modelLabel.text
    field._edit.setText("")  # by hand, and without pressing Segment in the module
    effect.activate()
    assert effect.modelLabel.text == ""
    assert editor.panel.parameters.modelPath == ""


def test_a_missing_model_is_told_before_anything_starts(editor, edited, tmp_path):
    editor.panel.parameters.modelPath = str(tmp_path / "gone.mts.safetensors")
    effect = editor.open("MultiTaskSeg")
    effect.applyButton.click()
    assert effect.applyButton.text == "Segment"
    assert "no such model file" in effect.resultLabel.text
