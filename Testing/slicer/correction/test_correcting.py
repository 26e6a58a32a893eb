"""Segment, image, effect and place are taken into the editor; marks follow what is done there."""

from __future__ import annotations

import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.correction import correcting, editing_tool
from MultiTaskSegLib.correction.corrected_segment import corrected_segments, mark_corrections, results_in
from MultiTaskSegLib.correction.region_worklist import RegionWorklist
from MultiTaskSegLib.correction.segment_watch import SegmentWatch
from MultiTaskSegLib.runtime.errors import InputError, ResourceError, UsageError
from MultiTaskSegLib.scene import result
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE
from MultiTaskSegLib.scene.uncertain_region import place_ras
from Testing.slicer import scene_samples as samples
from Testing.slicer.correction.test_corrected_segment import paint
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("session")


class EditorStandIn:
    """What is used of ``qMRMLSegmentEditorWidget``; keeps what it was told, in that order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def __getattr__(self, name: str):
        known = ("setSegmentationNode", "setSourceVolumeNode", "setCurrentSegmentID", "setActiveEffectByName")
        if name not in known:
            raise AttributeError(name)
        return lambda value: self.told.append((name, value))


def install(session, monkeypatch, module: str, **panel: object) -> list[str]:
    """A module with this panel; returns the modules that were turned to."""
    turned: list[str] = []
    monkeypatch.setattr(slicer.util, "selectModule", turned.append)
    made = types.SimpleNamespace(**panel)
    representation = types.SimpleNamespace(self=lambda: made)
    setattr(session.modules, module.lower(), types.SimpleNamespace(widgetRepresentation=lambda: representation))
    return turned


@pytest.fixture
def editor(session, monkeypatch) -> EditorStandIn:
    """Slicer's own editor."""
    made = EditorStandIn()
    made.turned = install(session, monkeypatch, "SegmentEditor", editor=made)
    return made


def centre(slice_node) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, 3]


def doubtful(*place: int):
    """A result that is uncertain around one voxel of the array."""
    job = found()
    job.uncertainty[:] = 0
    z, y, x = place
    job.uncertainty[z, y, x - 1 : x + 2] = (0.6, 0.9, 0.6)
    return result.add_result(samples.volume(), job)


@pytest.mark.parametrize(
    ("place", "segment_id", "effect"),
    [((2, 3, 5), "anterior", "Erase"), ((4, 3, 5), "posterior", "Erase"), ((0, 3, 5), "anterior", "Paint")],
)
def test_the_editor_opens_with_segment_image_effect_and_place(editor, place, segment_id, effect):
    made = doubtful(*place)
    views = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", name) for name in ("Red", "Green")]
    (region,) = RegionWorklist(made.segmentation).regions
    done = correcting.correct(made.segmentation, region=region)
    volume = made.segmentation.GetNodeReference(INPUT_ROLE)
    assert editor.turned == ["SegmentEditor"]
    assert editor.told == [
        ("setSegmentationNode", made.segmentation),
        ("setSourceVolumeNode", volume),
        ("setCurrentSegmentID", segment_id),
        ("setActiveEffectByName", effect),
    ]
    np.testing.assert_allclose(done.place, place_ras(volume, place[::-1]))
    for view in views:
        np.testing.assert_allclose(centre(view), done.place)


def test_a_segment_can_be_chosen_and_is_shown_where_it_is_most_uncertain(editor):
    made = doubtful(4, 3, 5)
    done = correcting.correct(made.segmentation, "posterior")
    assert (done.segment_id, done.effect) == ("posterior", "Erase")
    (region,) = RegionWorklist(made.segmentation).regions
    done = correcting.correct(made.segmentation, "anterior", region)  # the user wants this one to have the place
    assert (done.segment_id, done.effect) == ("anterior", "Paint")


def test_a_result_without_uncertainty_is_corrected_where_the_views_are(editor):
    job = found()
    made = result.add_result(samples.volume(), job, result.RunNotes(with_uncertainty=False))
    assert correcting.correct(made.segmentation, "anterior").place is None


def test_other_modules_are_offered_where_they_are_installed_and_get_the_same(session, monkeypatch, editor):
    assert [tool.module for tool in editing_tool.present_tools()] == ["SegmentEditor"]
    nn, monai, images = EditorStandIn(), EditorStandIn(), []
    selector = types.SimpleNamespace(setCurrentNode=images.append)
    install(session, monkeypatch, "SlicerNNInteractive", ui=types.SimpleNamespace(editor_widget=nn))
    parts = types.SimpleNamespace(embeddedSegmentEditorWidget=monai, inputSelector=selector)
    turned = install(session, monkeypatch, "MONAILabel", ui=parts)
    assert [tool.module for tool in editing_tool.present_tools()] == [
        "SegmentEditor",
        "SlicerNNInteractive",
        "MONAILabel",
    ]
    made = doubtful(2, 3, 5)
    for module in ("SlicerNNInteractive", "MONAILabel"):
        correcting.correct(made.segmentation, "anterior", tool=module)
    assert turned == ["SlicerNNInteractive", "MONAILabel"]
    assert [name for name, _ in nn.told] == ["setSegmentationNode", "setSourceVolumeNode", "setCurrentSegmentID"]
    assert monai.told[-1] == ("setActiveEffectByName", "Erase")
    assert images == [made.segmentation.GetNodeReference(INPUT_ROLE)]


def test_what_cannot_be_corrected_is_refused_in_words(session, monkeypatch, editor):
    made = doubtful(2, 3, 5)
    for arguments, words in (
        ({}, "nothing to correct"),
        ({"segment_id": "spleen"}, "no segment 'spleen'"),
        ({"segment_id": "anterior", "tool": "MONAILabel"}, "no module 'MONAILabel'"),
    ):
        with pytest.raises(UsageError, match=words):
            correcting.correct(made.segmentation, **arguments)
    install(session, monkeypatch, "SlicerNNInteractive", ui=types.SimpleNamespace())
    with pytest.raises(ResourceError, match="nnInteractive cannot be told what to correct"):
        correcting.correct(made.segmentation, "anterior", tool="SlicerNNInteractive")
    slicer.mrmlScene.RemoveNode(made.segmentation.GetNodeReference(INPUT_ROLE))
    with pytest.raises(InputError, match="not in the scene"):
        correcting.correct(made.segmentation, "anterior")


class Later:
    """Calls what was asked for when the test says so."""

    def __init__(self) -> None:
        self.waiting: list = []

    def __call__(self, function) -> None:
        self.waiting.append(function)

    def pass_(self) -> int:
        waiting, self.waiting = self.waiting, []
        for function in waiting:
            function()
        return len(waiting)


@pytest.fixture
def watch(session):
    """A watch over the scene, with the pause in the test's hands."""
    later = Later()
    made = SegmentWatch(session.scene, later)
    yield made, later
    made.release()


def test_changes_are_noticed_by_themselves_and_strokes_in_a_row_are_compared_once(watch):
    _, later = watch
    made = result.add_result(samples.volume(), found())
    later.pass_()
    assert corrected_segments(made.segmentation) == []
    for number in range(3):
        paint(made, "anterior", (0, 0, number))
    assert corrected_segments(made.segmentation) == []
    assert later.pass_() == 1
    assert corrected_segments(made.segmentation) == ["anterior"]
    paint(made, "anterior", (0, 0, 0), (0, 0, 1), (0, 0, 2), erase=True)
    later.pass_()
    assert corrected_segments(made.segmentation) == []
    assert later.pass_() == 0  # marks are no changes


def test_what_was_edited_where_nobody_watched_is_noticed_when_the_scene_is_loaded(watch, session, tmp_path):
    _, later = watch
    made = result.add_result(samples.volume(), found())
    paint(made, "anterior", (0, 0, 0))
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    later.pass_()
    assert session.scene.ReadFromMRB(bundle)
    (loaded,) = results_in(session.scene)
    assert corrected_segments(loaded) == []
    later.pass_()
    assert corrected_segments(loaded) == ["anterior"]


def test_who_wants_to_know_is_told_and_a_removed_result_is_let_go(watch):
    watched, later = watch
    told: list[str] = []
    watched.tell(lambda: told.append("changed"))
    made = result.add_result(samples.volume(), found())
    later.pass_()
    told.clear()
    paint(made, "anterior", (0, 0, 0))
    slicer.mrmlScene.RemoveNode(made.segmentation)
    later.pass_()
    assert told == ["changed"]
    made.segmentation.GetSegmentation().RemoveSegment("anterior")
    assert later.pass_() == 0


def test_under_a_transform_that_is_not_linear_nothing_is_claimed(watch):
    _, later = watch
    made = result.add_result(samples.volume(), found())
    volume = made.segmentation.GetNodeReference(INPUT_ROLE)
    later.pass_()
    warp = samples.warp_transform(volume)
    made.segmentation.SetAndObserveTransformNodeID(warp.GetID())
    paint(made, "posterior", (0, 0, 0))
    later.pass_()
    assert corrected_segments(made.segmentation) == []
    with pytest.raises(InputError, match="linear"):
        mark_corrections(made.segmentation)
    for node in (volume, made.segmentation):
        node.SetAndObserveTransformNodeID(None)
    paint(made, "posterior", (0, 0, 1))
    later.pass_()
    assert corrected_segments(made.segmentation) == ["posterior"]
