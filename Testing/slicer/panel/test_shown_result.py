"""When the panels bring something into the views, and when they leave them alone (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.earlier_result import results_of
from MultiTaskSegLib.scene.slice_layers import show_volume
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_slice_layers import backgrounds, far_away, is_in_view
from Testing.slicer.scene.test_slice_layers import views as views

pytestmark = pytest.mark.usefixtures("views")


def foregrounds(views) -> list[str]:
    return [view.GetSliceCompositeNode().GetForegroundVolumeID() for view in views]


def test_choosing_a_volume_shows_it_and_draws_no_result_of_another(views, panel, segment):
    first = segment()
    other = far_away("other")
    panel.ui.inputSelector.setCurrentNode(other)
    assert backgrounds(views) == [other.GetID()] * 3
    assert all(is_in_view(view, other) for view in views)
    assert foregrounds(views) == [None] * 3
    assert not first.GetDisplayNode().GetVisibility()
    panel.ui.inputSelector.setCurrentNode(first.GetNodeReference("MultiTaskSeg.Input"))
    assert first.GetDisplayNode().GetVisibility()
    assert foregrounds(views) == [first.GetNodeReferenceID("MultiTaskSeg.Uncertainty")] * 3


def test_a_run_on_a_volume_that_is_not_shown_ends_with_its_result_in_view(views, panel, segment):
    show_volume(far_away("other"))
    segmentation = segment()
    volume = segmentation.GetNodeReference("MultiTaskSeg.Input")
    assert backgrounds(views) == [volume.GetID()] * 3
    assert all(is_in_view(view, volume) for view in views)


@pytest.mark.parametrize("way", ["selected", "shown elsewhere", "loaded"])
def test_a_run_that_ends_does_not_turn_the_views_back(views, panel, until, worker, way):
    volume, other = panel.parameters.inputVolume, far_away("other")
    show_volume(volume)
    panel.ui.segmentButton.click()
    if way == "selected":
        panel.ui.inputSelector.setCurrentNode(other)
    elif way == "shown elsewhere":
        show_volume(other)
    else:
        for view in views:  # as Slicer does with a volume that is loaded
            view.GetSliceCompositeNode().SetBackgroundVolumeID(other.GetID())
    assert until(lambda: panel.ui.segmentButton.text == "Segment")
    (made,) = results_of(volume)
    assert backgrounds(views) == [other.GetID()] * 3
    assert foregrounds(views) == [None] * 3
    assert not made.GetDisplayNode().GetVisibility()
    assert made.GetName() in panel.ui.messageLabel.text
    panel.ui.resultSelector.setCurrentNode(made)
    assert backgrounds(views) == [volume.GetID()] * 3
    assert made.GetDisplayNode().GetVisibility()


def test_a_run_that_ends_is_shown_in_the_view_that_still_has_its_image(views, panel, until, worker):
    volume, other = panel.parameters.inputVolume, far_away("other")
    show_volume(volume)
    panel.ui.segmentButton.click()
    views[1].GetSliceCompositeNode().SetBackgroundVolumeID(other.GetID())
    assert until(lambda: panel.ui.segmentButton.text == "Segment")
    (made,) = results_of(volume)
    assert backgrounds(views) == [volume.GetID(), other.GetID(), volume.GetID()]
    assert foregrounds(views) == [made.GetNodeReferenceID("MultiTaskSeg.Uncertainty"), None, foregrounds(views)[0]]


def test_a_batch_draws_the_result_of_the_selected_volume_only(views, panel, until, worker):
    volume, other = panel.parameters.inputVolume, far_away("other")
    show_volume(volume)
    panel.ui.batchButton.click()
    assert until(lambda: panel.ui.batchButton.text == "Segment all")
    drawn = [results_of(node)[0].GetDisplayNode().GetVisibility() for node in (volume, other)]
    assert drawn == [1, 0]
    assert panel.parameters.segmentation is results_of(volume)[0]
    assert backgrounds(views) == [volume.GetID()] * 3


@pytest.mark.parametrize("name", ["MultiTaskSeg", "OODCheck"])
def test_a_row_of_several_images_leads_to_a_fitted_view(views, open_panel, worker, until, name):
    samples.volume(name="first")
    second = far_away("second")
    panel = open_panel(name)
    table = "batchTableWidget" if name == "MultiTaskSeg" else "resultTable"
    button = panel.ui.batchButton if name == "MultiTaskSeg" else panel.ui.checkButton
    if name == "OODCheck":
        panel.parameters.scope = "scene"
    title = button.text
    button.click()
    assert until(lambda: button.text == title)
    getattr(panel.ui, table).cellActivated.emit(1, 0)
    assert backgrounds(views) == [second.GetID()] * 3
    assert all(is_in_view(view, second) for view in views)


@pytest.mark.parametrize("name", ["MultiTaskSeg", "OODCheck"])
def test_a_panel_that_is_only_made_changes_no_view(views, open_panel, worker, name):
    samples.volume(name="selected at first")
    volume, other = samples.volume(), far_away("other")
    show_volume(other)
    panel = open_panel(name, entered=False)  # as getModuleLogic does
    panel.logic.getParameterNode().inputVolume = volume
    assert backgrounds(views) == [other.GetID()] * 3
    panel.enter()
    assert backgrounds(views) == [volume.GetID()] * 3


def test_a_scene_that_is_loaded_keeps_its_views(views, panel, segment, session, tmp_path):
    segmentation = segment()
    other = far_away("other")
    show_volume(other)
    bundle = str(tmp_path / "scene.mrb")
    session.scene.SetURL(bundle)
    assert session.scene.WriteToMRB(bundle)
    session.scene.Clear(0)
    assert session.scene.ReadFromMRB(bundle)
    assert panel.parameters.segmentation is not None
    assert panel.parameters.segmentation is not segmentation
    shown = slicer.mrmlScene.GetFirstNodeByName("other").GetID()
    assert set(backgrounds(views)) == {shown}


def test_a_result_that_came_while_another_module_was_open_is_shown_on_return(views, panel, until, worker):
    other = far_away("other")
    volume = panel.parameters.inputVolume
    panel.ui.segmentButton.click()
    panel.exit()
    show_volume(other)
    assert until(lambda: panel.ui.segmentButton.text == "Segment")
    assert results_of(volume)
    assert backgrounds(views) == [other.GetID()] * 3
    panel.enter()
    assert backgrounds(views) == [volume.GetID()] * 3


def test_surfaces_come_into_the_view_of_the_cameras(panel, segment, monkeypatch):
    segment()
    done: list[str] = []
    view = types.SimpleNamespace(
        resetFocalPoint=lambda: done.append("focal point"), resetCamera=lambda: done.append("camera")
    )
    widget = types.SimpleNamespace(threeDView=lambda: view)
    layout = types.SimpleNamespace(threeDViewCount=2, threeDWidget=lambda _index: widget)
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: layout)
    panel.ui.show3DButton.click()
    assert done == ["focal point", "camera"] * 2
    panel.ui.show3DButton.click()
    assert len(done) == 4


def test_a_check_with_a_map_lays_it_over_the_image_when_the_panel_is_open(views, open_panel, worker, finished):
    volume = samples.volume()
    panel = open_panel("OODCheck")
    panel.ui.mapCheckBox.checked = True
    finished(panel)
    node = volume.GetNodeReference("MultiTaskSeg.ForeignMap")
    assert foregrounds(views) == [node.GetID()] * 3
    assert "foreign" in panel.ui.resultLabel.text.lower()
    assert np.ptp(slicer.util.arrayFromVolume(node)) > 0


def test_a_check_that_ends_does_not_turn_the_views_back(views, open_panel, worker, until):
    volume, other = samples.volume(), far_away("other")
    panel = open_panel("OODCheck")
    panel.ui.mapCheckBox.checked = True
    show_volume(volume)
    panel.ui.checkButton.click()
    show_volume(other)
    assert until(lambda: panel.ui.checkButton.text == "Check")
    assert "foreign" in panel.ui.resultLabel.text.lower()
    assert backgrounds(views) == [other.GetID()] * 3
    assert foregrounds(views) == [None] * 3
    panel.ui.inputSelector.setCurrentNode(other)
    panel.ui.inputSelector.setCurrentNode(volume)
    assert backgrounds(views) == [volume.GetID()] * 3
    assert foregrounds(views) == [volume.GetNodeReferenceID("MultiTaskSeg.ForeignMap")] * 3


def test_the_uncertainty_of_a_result_goes_when_another_one_without_any_is_chosen(views, panel, segment):
    first = segment()
    uncertainty = first.GetNodeReferenceID("MultiTaskSeg.Uncertainty")
    assert foregrounds(views) == [uncertainty] * 3
    volume = panel.parameters.inputVolume
    (made,) = panel.logic.segmentBatch([volume], withUncertainty=False).results.values()
    panel.parameters.segmentation = made.segmentation
    assert foregrounds(views) == [None] * 3
    panel.parameters.segmentation = first
    assert foregrounds(views) == [uncertainty] * 3
    panel.parameters.segmentation = None
    assert foregrounds(views) == [None] * 3


def test_what_lies_over_the_image_comes_back_when_the_uncertainty_goes(views, panel, segment):
    volume, pet = panel.parameters.inputVolume, samples.volume(name="PET")
    for view in views:
        composite = view.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(pet.GetID())
        composite.SetForegroundOpacity(0.4)
    made = segment()
    uncertainty = made.GetNodeReferenceID("MultiTaskSeg.Uncertainty")
    assert foregrounds(views) == [uncertainty] * 3
    panel.ui.uncertaintyCheckBox.checked = False
    assert foregrounds(views) == [pet.GetID()] * 3
    assert views[0].GetSliceCompositeNode().GetForegroundOpacity() == 0.4
    panel.ui.uncertaintyCheckBox.checked = True
    assert foregrounds(views) == [uncertainty] * 3
    panel.ui.resultSelector.setCurrentNode(None)
    assert foregrounds(views) == [pet.GetID()] * 3
    panel.ui.resultSelector.setCurrentNode(made)
    slicer.mrmlScene.RemoveNode(pet)
    panel.ui.uncertaintyCheckBox.checked = False
    assert foregrounds(views) == [uncertainty] * 3
    assert views[0].GetSliceCompositeNode().GetForegroundOpacity() == 0.0


def test_a_map_of_foreign_places_stays_when_another_result_is_chosen(views, panel, segment, open_panel):
    segment()
    volume = panel.parameters.inputVolume
    (made,) = panel.logic.segmentBatch([volume], withUncertainty=False).results.values()
    open_panel("OODCheck").logic.check(volume, withMap=True)
    foreign = volume.GetNodeReferenceID("MultiTaskSeg.ForeignMap")
    for view in views:
        view.GetSliceCompositeNode().SetForegroundVolumeID(foreign)
    panel.parameters.segmentation = made.segmentation
    assert foregrounds(views) == [foreign] * 3


def test_a_banner_that_is_shown_follows_the_voxels_of_its_image(panel, segment):
    segment()
    volume = panel.parameters.inputVolume
    assert "changed after" not in panel.ui.resultLabel.text
    slicer.util.arrayFromVolume(volume)[:] = 0
    slicer.util.arrayFromVolumeModified(volume)
    panel.exit()
    panel.enter()
    assert "changed after" in panel.ui.resultLabel.text


@pytest.mark.parametrize("name", ["MultiTaskSeg", "OODCheck"])
def test_a_volume_that_was_removed_after_its_run_had_ended_is_told(open_panel, worker, session, name):
    volume = samples.volume()
    logic = open_panel(name).logic
    run = logic.start(volume)
    run.job.wait()
    session.scene.RemoveNode(volume)
    count = session.scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="was removed"):
        logic.finish(run)
    assert session.scene.GetNumberOfNodes() == count
