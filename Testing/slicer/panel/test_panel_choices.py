"""What is asked, remembered and shown, and what is left alone (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib
import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene import heatmap
from MultiTaskSegLib.scene.earlier_result import TABLE_ROLE, results_of
from MultiTaskSegLib.scene.result import add_result
from MultiTaskSegLib.scene.result_table import SegmentRow
from MultiTaskSegLib.scene.surface.surfaces import show_3d
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

pytestmark = pytest.mark.usefixtures("stand_ins", "session")


def part(name: str):
    return importlib.import_module(f"MultiTaskSegLib.panel.{name}")


@pytest.fixture
def composite(session):
    """What the red slice view shows."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(session.application_logic)
    logic.SetMRMLScene(session.scene)
    logic.AddSliceNode("Red")
    yield logic.GetSliceCompositeNode()
    del logic


@pytest.fixture
def shown():
    """A result, the parameters that show it, and the control that brings it into the views."""
    made = add_result(samples.volume(), found())
    parameters = types.SimpleNamespace(segmentation=made.segmentation, showUncertainty=True, opacity=0.4, threshold=0.2)
    return made, parameters, part("display_control").DisplayControl()


def test_switching_the_uncertainty_off_hides_it_whatever_the_opacity(composite, shown):
    _made, parameters, control = shown
    control.apply(parameters)
    assert composite.GetForegroundOpacity() == pytest.approx(0.4)
    parameters.showUncertainty = False
    control.apply(parameters)
    assert composite.GetForegroundOpacity() == 0.0


def test_moving_the_threshold_moves_that_of_the_heatmap(composite, shown):
    made, parameters, control = shown
    parameters.threshold = 0.75
    control.apply(parameters)
    assert made.uncertainty.GetDisplayNode().GetLowerThreshold() == 0.75


def test_views_that_the_user_turned_to_something_else_are_left_alone(composite, shown):
    _made, parameters, control = shown
    control.apply(parameters)
    other = samples.volume(name="other")
    composite.SetBackgroundVolumeID(other.GetID())
    control.apply(parameters)
    assert composite.GetBackgroundVolumeID() == other.GetID()
    parameters.opacity = 0.5
    control.apply(parameters)
    assert composite.GetBackgroundVolumeID() != other.GetID()


def test_the_overlay_is_not_blurred_between_voxels():
    volume = samples.volume(shape=(1, 2, 3))
    node = heatmap.add_heatmap(volume, np.zeros((1, 2, 3), np.float32), "Uncertainty")
    assert node.GetDisplayNode().GetInterpolate() == 0


@pytest.fixture
def asked(monkeypatch, stand_ins):
    """Texts of the questions, all of which are answered by Yes."""
    texts: list[str] = []

    def answer(box):
        texts.append(box.text)
        return stand_ins.QMessageBox.Yes

    monkeypatch.setattr(stand_ins.QMessageBox, "exec_", answer, raising=False)
    return texts


@pytest.mark.parametrize(("task", "decision"), [("auto", "replace"), ("hippocampus", "replace"), ("heart", "keep")])
def test_it_is_asked_only_where_the_run_could_replace_a_result(asked, task, decision):
    volume = samples.volume()
    add_result(volume, found(task="hippocampus"))
    assert part("existing_question").decide_existing("ask", volume, task, None) == decision
    assert len(asked) == (decision == "replace")


def test_nothing_is_asked_while_slicer_tests_itself(asked, monkeypatch):
    volume = samples.volume()
    add_result(volume, found())
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    assert part("existing_question").decide_existing("ask", volume, "auto", None) == "keep"
    assert asked == []


class ParametersStandIn:
    """The choices of a panel and the node that they are saved on."""

    def __init__(self, **values) -> None:
        self.modelPath, self.device, self.existing = "", "auto", "ask"
        vars(self).update(values)
        self.parameterNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def settings(stand_ins):
    stand_ins.QSettings().clear()
    yield part("settings")
    stand_ins.QSettings().clear()


def test_a_new_scene_gets_the_last_choices_and_a_saved_one_keeps_its_own(settings):
    chosen = {"modelPath": "/models/own.mts.safetensors", "device": "cpu", "existing": "keep"}
    settings.store_settings(ParametersStandIn(**chosen))
    fresh = ParametersStandIn()
    settings.apply_settings(fresh)
    assert {name: getattr(fresh, name) for name in chosen} == chosen
    fresh.device = "cuda"  # in this scene, which is saved with it
    settings.apply_settings(fresh)
    assert fresh.device == "cuda"


@pytest.fixture
def table(stand_ins):
    """A table of segments and its cells."""
    widget = stand_ins.QTableWidget()
    made = part("segment_table").SegmentTable(widget, lambda _segment_id: None)

    def texts(row: SegmentRow) -> list[str]:
        made.show([row])
        return [widget.item(0, column).text() for column in range(5)]

    return texts


def test_a_structure_without_a_voxel_is_not_found_and_has_no_figures(table):
    assert table(SegmentRow("a", "A", 0.0, 0.9, 0.8, 0.0)) == ["A", "not found", "", "", ""]
    assert table(SegmentRow("a", "A", 0.001, 0.9, 0.8, 0.0005)) == ["A", "0.0010", "90 %", "0.80", "0.0005"]
    assert table(SegmentRow("a", "A", 12.345, None, None, 1.0)) == ["A", "12.35", "", "", "1.00"]


def test_a_structure_without_a_physical_size_has_voxels(table):
    assert table(SegmentRow("a", "A", None, 0.9, 0.8, None, 321)) == ["A", "321 voxels", "90 %", "0.80", ""]
    assert table(SegmentRow("a", "A", None, 0.9, 0.8, None, 0)) == ["A", "not found", "", "", ""]


def test_a_region_of_a_result_without_volumes_is_given_in_voxels(panel, segment):
    segmentation = segment()
    uncertainty = segmentation.GetNodeReference("MultiTaskSeg.Uncertainty")
    voxels = np.zeros((9, 12, 15), np.float32)
    voxels[1:3, 1, 1] = 0.9
    slicer.util.updateVolumeFromArray(uncertainty, voxels)
    table = segmentation.GetNodeReference(TABLE_ROLE).GetTable()
    panel.ui.nextRegionButton.click()
    assert panel.ui.regionLabel.text.endswith("mL")
    for row in range(table.GetNumberOfRows()):
        table.GetColumnByName("Volume [mL]").SetValue(row, float("nan"))
    panel._resultView.show(None)
    panel._resultView.show(segmentation)
    panel.ui.nextRegionButton.click()
    assert panel.ui.regionLabel.text == "1 of 1: 2 voxels"


def test_another_result_begins_with_its_own_largest_region(panel, segment):
    for kind, name in ((1, "Scan"), (2, "other")):
        if name == "other":
            panel.ui.inputSelector.setCurrentNode(samples.volume(name="other"))
        voxels = np.zeros((9, 12, 15), np.float32)
        for number in range(kind):
            voxels[4 * number : 4 * number + 2, 1, 1] = 0.9
        slicer.util.updateVolumeFromArray(segment().GetNodeReference("MultiTaskSeg.Uncertainty"), voxels)
        panel.ui.nextRegionButton.click()
        assert panel.ui.regionLabel.text.startswith(f"1 of {kind}:")


def test_the_button_for_surfaces_says_whether_they_are_seen(panel, segment):
    segmentation = segment()
    for is_shown in (True, False):
        show_3d(segmentation, is_shown)  # as the Segmentations module does, without a word to the panel
        panel.enter()
        assert panel.ui.show3DButton.checked is is_shown


def test_the_button_for_surfaces_is_off_where_they_cannot_be_made(panel, segment, monkeypatch):
    segment()
    shown: list[str] = []
    view = importlib.import_module("MultiTaskSegLib.panel.result_view")
    empty = types.SimpleNamespace(ContainsRepresentation=lambda _name: False)
    stubborn = types.SimpleNamespace(
        CreateClosedSurfaceRepresentation=lambda: False, GetName=lambda: "Scan", GetSegmentation=lambda: empty
    )
    monkeypatch.setattr(view, "show_3d", lambda _segmentation, is_shown: show_3d(stubborn, is_shown))
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_details: shown.append(text))
    panel.ui.show3DButton.checked = True  # as a click does first
    with pytest.raises(ResourceError, match="cannot make the surfaces"):
        panel._resultView.show_surfaces(True)
    assert "Slicer cannot make the surfaces: Scan" in shown[0]
    assert not panel.ui.show3DButton.checked


@pytest.fixture
def run_batch(panel, until):
    def press() -> None:
        panel.ui.batchButton.click()
        assert until(lambda: panel.ui.batchButton.text == "Segment all")

    return press


@pytest.mark.parametrize(("choice", "left"), [("replace", 1), ("keep", 2), ("ask", 2)])
def test_a_batch_replaces_earlier_results_only_when_that_was_chosen(panel, run_batch, choice, left):
    panel.parameters.existing = choice
    for _twice in range(2):
        run_batch()
    results = results_of(panel.parameters.inputVolume)
    assert len(results) == left
    assert '"device": "auto"' in results[-1].GetAttribute("MultiTaskSeg.Parameters")


def test_a_double_click_on_the_row_of_a_removed_volume_does_nothing(panel, run_batch):
    other = samples.volume(name="other")
    run_batch()
    selected = panel.parameters.inputVolume
    slicer.mrmlScene.RemoveNode(other)
    panel.ui.batchTableWidget.cellActivated.emit(1, 0)
    assert panel.parameters.inputVolume is selected


def test_a_row_of_the_batch_has_the_whole_volume_and_all_warnings(panel):
    batch = importlib.import_module("MultiTaskSegLib.batch")
    report = {
        "task": "t",
        "ood": Verdict(False, 1.0, 2.0, 0.5, "t", {}).as_dict(),
        "labels": [{"name": "a", "volume_mm3": 1500.0}, {"name": "b", "volume_mm3": 750.0}],
        "warnings": ["coarse", "odd"],
    }
    panel._batch.show_rows([batch.row_of(batch.BatchItem("scan", print, print), report, 1.0)])
    item = panel.ui.batchTableWidget.item
    assert [item(0, column).text() for column in range(4)] == ["scan", "in", "2.25", "coarse | odd"]
    for label in report["labels"]:
        label["volume_mm3"] = None  # of a picture
    panel._batch.show_rows([batch.row_of(batch.BatchItem("picture", print, print), report, 1.0)])
    assert [item(0, column).text() for column in range(3)] == ["picture", "in", ""]


def test_removing_another_node_during_a_run_does_not_cancel_it(panel, worker):
    worker("slow")
    other = samples.volume(name="other")
    panel.ui.segmentButton.click()
    slicer.mrmlScene.RemoveNode(other)
    assert panel.ui.segmentButton.text == "Cancel"
    assert panel._run._run.job.error is None


def test_volumes_that_are_hidden_from_the_user_are_no_images():
    from MultiTaskSegLib.scene.image_node import image_nodes

    hidden, plain = samples.volume(name="hidden"), samples.volume(name="plain")
    hidden.SetHideFromEditors(True)
    assert image_nodes(slicer.mrmlScene) == [plain]
