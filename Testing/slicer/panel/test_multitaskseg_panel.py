"""The panel of MultiTaskSeg ON STAND-IN WIDGETS: results, earlier results, uncertain places, settings, saved scenes."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene.earlier_result import results_of
from MultiTaskSegLib.scene.result_table import rows_of
from Testing.slicer import scene_samples as samples


@pytest.fixture
def slice_node(session):
    """The red slice view."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(session.application_logic)
    logic.SetMRMLScene(session.scene)
    node = logic.AddSliceNode("Red")
    yield node
    del logic


@pytest.fixture
def answers(monkeypatch, stand_ins):
    """Answers the question about earlier results; returns how often it was asked."""
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    panel_module = sys.modules["MultiTaskSeg"]
    monkeypatch.setattr(panel_module, "ensure_packages", lambda: None)
    asked: list[str] = []

    def answer(button: str) -> list[str]:
        def exec_(box):
            asked.append(box.text)
            return getattr(stand_ins.QMessageBox, button)

        monkeypatch.setattr(stand_ins.QMessageBox, "exec_", exec_, raising=False)
        return asked

    return answer


def centre(node) -> list[float]:
    return [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]


def shown_table(panel) -> list[list[str]]:
    table = panel.ui.segmentTableWidget
    return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]


def test_the_table_shows_the_figures_of_each_segment(panel, segment):
    assert not panel.ui.segmentTableWidget.visible
    segmentation = segment()
    (row,) = rows_of(segmentation.GetNodeReference("MultiTaskSeg.Table"))
    assert shown_table(panel) == [
        ["bright part", f"{row.volume_ml:.3g}", "91 %", "0.83", f"{row.uncertain_ml:.2g}"],
    ]
    colour = panel.ui.segmentTableWidget.item(0, 0).data(1)  # Qt::DecorationRole
    assert (colour.red(), colour.green(), colour.blue()) == (9, 99, 199)


def test_a_double_click_on_a_segment_leads_the_views_to_its_most_uncertain_place(panel, segment, slice_node):
    segmentation = segment()
    uncertainty = segmentation.GetNodeReference("MultiTaskSeg.Uncertainty")
    voxels = np.zeros((9, 12, 15), np.float32)
    voxels[6:9, 5:8, 9:12] = 0.9  # in the bright half
    slicer.util.updateVolumeFromArray(uncertainty, voxels)
    panel.ui.segmentTableWidget.cellDoubleClicked.emit(0, 2)
    expected = samples.ijk_to_ras("axial") @ [10, 6, 7, 1]
    np.testing.assert_allclose(centre(slice_node), expected[:3], atol=1e-6)


def test_the_next_uncertain_region_goes_from_the_largest_to_the_smallest_and_round(panel, segment, slice_node):
    segmentation = segment()
    uncertainty = segmentation.GetNodeReference("MultiTaskSeg.Uncertainty")
    voxels = np.zeros((9, 12, 15), np.float32)
    voxels[1, 1, 1] = 0.9
    voxels[5:8, 5:8, 5:8] = 0.8
    slicer.util.updateVolumeFromArray(uncertainty, voxels)
    seen = []
    for _ in range(3):
        panel.ui.nextRegionButton.click()
        seen.append((centre(slice_node), panel.ui.regionLabel.text))
    ijk = [np.linalg.solve(samples.ijk_to_ras("axial"), [*place, 1.0])[:3] for place, _ in seen]
    np.testing.assert_allclose(ijk[0], [6, 6, 6], atol=1e-6)
    np.testing.assert_allclose(ijk[1], [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(ijk[2], ijk[0])
    assert [text.split(":")[0] for _, text in seen] == ["1 of 2", "2 of 2", "1 of 2"]


def test_where_nothing_is_uncertain_the_panel_says_so(panel, segment):
    uncertainty = segment().GetNodeReference("MultiTaskSeg.Uncertainty")
    slicer.util.updateVolumeFromArray(uncertainty, np.zeros((9, 12, 15), np.float32))
    panel.ui.nextRegionButton.click()
    assert panel.ui.regionLabel.text == "nowhere 0.5 or more"


def test_surfaces_are_made_on_demand_and_can_be_hidden(panel, segment):
    segmentation = segment()
    assert not panel.ui.show3DButton.checked
    panel.ui.show3DButton.click()
    assert segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    assert segmentation.GetDisplayNode().GetVisibility3D()
    panel.ui.show3DButton.click()
    assert not segmentation.GetDisplayNode().GetVisibility3D()


def test_the_link_opens_ood_check_with_the_volume_and_the_model_that_segmented_it(
    panel, open_panel, segment, monkeypatch
):
    from MultiTaskSegLib.registration.sample_data import sample_model

    other = open_panel("OODCheck")
    other.parameters.scope, other.parameters.modelPath = "folder", "another.mts.safetensors"
    panel.parameters.modelPath = own = str(sample_model())
    segmentation = segment()
    samples.volume(name="another")
    other.logic.getParameterNode().inputVolume = slicer.mrmlScene.GetFirstNodeByName("another")
    selected: list[str] = []
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: {"OODCheck": other.logic}[name])
    monkeypatch.setattr(slicer.util, "selectModule", selected.append)
    assert panel.ui.oodCheckButton.isHidden() is False
    panel.ui.oodCheckButton.click()
    assert selected == ["OODCheck"]
    assert other.ui.inputSelector.currentNode() is segmentation.GetNodeReference("MultiTaskSeg.Input")
    assert (other.parameters.scope, other.parameters.modelPath) == ("volume", own)
    assert "IN DISTRIBUTION" in other.ui.resultLabel.text  # the verdict of the segmentation, as it was


def test_without_ood_check_there_is_no_link_to_it(panel, segment):
    segment()
    assert panel.ui.oodCheckButton.isHidden()


def test_choosing_no_result_stays_so_until_another_volume_is_selected(panel, segment):
    segment()
    panel.ui.resultSelector.setCurrentNode(None)
    panel.parameters.opacity = 0.4
    assert panel.parameters.segmentation is None
    first = panel.parameters.inputVolume
    panel.parameters.inputVolume = samples.volume(name="other")
    panel.parameters.inputVolume = first
    assert panel.parameters.segmentation is not None


def test_a_result_says_that_its_image_was_changed_since(panel, segment):
    segment()
    assert "was changed after" not in panel.ui.resultLabel.text
    volume = panel.parameters.inputVolume
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[::-1].copy())
    segmentation, panel.parameters.segmentation = panel.parameters.segmentation, None
    panel.parameters.segmentation = segmentation
    assert "was changed after this result was made" in panel.ui.resultLabel.text


def test_places_under_a_transform_that_became_non_linear_are_refused_in_words(panel, segment):
    transform = samples.linear_transform(panel.parameters.inputVolume, np.eye(4))
    segment()
    samples.warp_transform(transform)
    panel.ui.segmentTableWidget.cellDoubleClicked.emit(0, 0)
    assert "non-linear" in panel.ui.regionLabel.text
    panel.ui.regionLabel.text = ""
    panel.ui.nextRegionButton.click()
    assert "non-linear" in panel.ui.regionLabel.text


def test_an_image_out_of_distribution_is_shown_in_red_and_named_so(panel, segment, worker):
    worker("foreign")
    segmentation = segment()
    assert "OUT OF DISTRIBUTION" in panel.ui.resultLabel.text
    assert "#b3261e" in panel.ui.resultLabel.text
    assert segmentation.GetName() == "Scan segmentation (phantom) [OUT OF DISTRIBUTION]"


@pytest.mark.parametrize(("button", "left"), [("Yes", 1), ("No", 2)])
def test_a_second_run_asks_what_is_to_become_of_the_first_result(panel, segment, answers, button, left):
    asked = answers(button)
    first = segment()
    assert asked == []
    second = segment()
    assert len(asked) == 1
    assert "Scan segmentation" in asked[0]
    remaining = results_of(panel.parameters.inputVolume)
    assert len(remaining) == left
    assert (first in remaining) == (button == "No")
    assert panel.parameters.segmentation is second


def test_cancelling_the_question_starts_nothing(panel, segment, answers):
    first = segment()
    answers("Cancel")
    panel.ui.segmentButton.click()
    assert panel.ui.segmentButton.text == "Segment"
    assert results_of(panel.parameters.inputVolume) == [first]


@pytest.mark.parametrize(("choice", "left"), [("keep", 2), ("replace", 1)])
def test_a_choice_in_the_panel_is_followed_without_asking(panel, segment, answers, choice, left):
    asked = answers("Cancel")
    panel.ui.existingComboBox.setCurrentIndex(panel.ui.existingComboBox.findData(choice))
    for _ in range(2):
        segment()
    assert asked == []
    assert len(results_of(panel.parameters.inputVolume)) == left


def test_a_good_result_stays_when_the_next_one_is_flagged_and_the_panel_says_so(panel, segment, worker):
    good = segment()
    panel.ui.existingComboBox.setCurrentIndex(panel.ui.existingComboBox.findData("replace"))
    worker("foreign")
    segment()
    assert good in results_of(panel.parameters.inputVolume)
    assert "the earlier result was kept" in panel.ui.resultLabel.text


def test_a_run_that_fails_leaves_the_earlier_result_and_says_what_went_wrong(panel, segment, worker):
    good = segment()
    panel.parameters.existing = "replace"
    worker("error")
    assert segment() is good
    assert "upside down" in panel.ui.resultLabel.text
    assert len(shown_table(panel)) == 1


def test_selecting_another_volume_turns_to_its_result(panel, segment):
    first = segment()
    other = samples.volume(name="other")
    panel.ui.inputSelector.setCurrentNode(other)
    assert panel.parameters.segmentation is None
    assert panel.ui.resultLabel.text == ""
    assert not panel.ui.nextRegionButton.enabled
    second = segment()
    panel.ui.inputSelector.setCurrentNode(first.GetNodeReference("MultiTaskSeg.Input"))
    assert panel.parameters.segmentation is first
    panel.ui.resultSelector.setCurrentNode(second)
    assert panel.parameters.segmentation is second


@pytest.mark.parametrize("part", ["Segmentation", "Uncertainty", "Table", "Input"])
def test_deleting_any_part_of_a_result_leaves_a_panel_that_works(panel, segment, part):
    segmentation = segment()
    node = segmentation if part == "Segmentation" else segmentation.GetNodeReference(f"MultiTaskSeg.{part}")
    slicer.mrmlScene.RemoveNode(node)
    panel.enter()
    panel.ui.nextRegionButton.click()
    panel.ui.opacitySlider.value = 0.35
    panel.ui.segmentTableWidget.cellDoubleClicked.emit(0, 0) if panel.ui.segmentTableWidget.rowCount else None
    if part == "Segmentation":
        assert panel.ui.resultLabel.text == ""
        assert shown_table(panel) == []
    if part in ("Segmentation", "Uncertainty"):
        assert not panel.ui.nextRegionButton.enabled


def test_a_saved_scene_opens_as_it_was(panel, segment, session, tmp_path):
    segment()
    panel.ui.opacitySlider.value = 0.25
    panel.ui.uncertaintyCheckBox.checked = False
    table, text = shown_table(panel), panel.ui.resultLabel.text
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert panel.ui.resultLabel.text == ""
    assert session.scene.ReadFromMRB(bundle)
    panel.enter()
    assert shown_table(panel) == table
    assert panel.ui.resultLabel.text == text
    assert panel.ui.opacitySlider.value == pytest.approx(0.25)
    assert not panel.ui.uncertaintyCheckBox.checked
    assert panel.ui.resultSelector.currentNode() is panel.parameters.segmentation


def test_model_device_and_the_choice_about_results_are_remembered_for_a_new_scene(panel, session):
    for name, value in (("device", "cpu"), ("existing", "keep")):
        box = getattr(panel.ui, f"{name}ComboBox")
        box.setCurrentIndex(box.findData(value))
    session.scene.Clear(1)
    assert (panel.parameters.device, panel.parameters.existing) == ("cpu", "keep")
    assert panel.ui.deviceComboBox.currentData == "cpu"


def test_what_cannot_be_segmented_is_said_before_the_run_and_mended_by_the_button(panel):
    volume = panel.parameters.inputVolume
    assert "CANNOT" not in panel.ui.preflightLabel.text
    assert panel.ui.fixButton.isHidden()
    samples.warp_transform(volume)
    panel.enter()
    assert "non-linear transform" in panel.ui.preflightLabel.text
    assert not panel.ui.segmentButton.enabled
    assert not panel.ui.fixButton.isHidden()
    panel.ui.fixButton.click()
    assert panel.parameters.inputVolume.GetName() == "Scan hardened"
    assert panel.ui.segmentButton.enabled
    assert "CANNOT" not in panel.ui.preflightLabel.text


def test_the_voxels_are_looked_at_again_only_when_something_has_changed(panel, monkeypatch):
    volume = panel.parameters.inputVolume
    calls: list[int] = []
    preflight = panel.logic.preflight
    monkeypatch.setattr(panel.logic, "preflight", lambda *args: calls.append(1) or preflight(*args))
    for value in (0.3, 0.4, 0.5):
        panel.ui.opacitySlider.value = value
    assert calls == []
    slicer.util.updateVolumeFromArray(volume, np.full((9, 12, 15), 7, np.int16))
    panel.enter()
    assert calls == [1]
    assert not panel.ui.segmentButton.enabled
    assert "same value" in panel.ui.preflightLabel.text


def test_the_repair_button_tells_the_version_or_what_is_wrong(panel, monkeypatch):
    from MultiTaskSegLib.runtime.errors import Cancelled

    module = sys.modules["MultiTaskSeg"]
    monkeypatch.setattr(module, "ensure_torch", lambda: types.SimpleNamespace(detail="2.9.1"))
    panel.ui.repairButton.click()
    assert "PyTorch 2.9.1 can be used. CPU." in panel.ui.resultLabel.text
    assert [panel.ui.deviceComboBox.itemData(index) for index in range(2)] == ["auto", "cpu"]

    def refuse():
        raise Cancelled("PyTorch was not repaired")

    monkeypatch.setattr(module, "ensure_torch", refuse)
    panel.ui.repairButton.click()
    assert "not repaired" in panel.ui.resultLabel.text


def test_opening_the_panel_reads_and_changes_nothing_else(session, open_panel, worker):
    samples.volume()
    before = session.scene.GetNumberOfNodes()
    open_panel("MultiTaskSeg")
    assert session.scene.GetNumberOfNodes() == before + 1  # its parameter node


def test_devices_are_offered_with_what_is_free_and_the_chosen_one_is_never_lost(stand_ins):
    import importlib

    entries = importlib.import_module("MultiTaskSegLib.panel.run_choices").device_entries
    card = {"name": "cuda:0", "description": "Card", "free_bytes": 3_000_000_000, "total_bytes": 8_000_000_000}
    assert entries([card], "auto")[1] == ("cuda:0", "Card: 3.0 of 8.0 GB free")
    assert entries([card], "cuda:1")[-1] == ("cuda:1", "cuda:1")
    assert [value for value, _ in entries([], "auto")] == ["auto", "cpu", "cuda"]
