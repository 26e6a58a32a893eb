"""What the slice views show, and what they are left with, on Slicer's own slice logics and composite nodes."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib.scene import slice_layers
from MultiTaskSegLib.scene.heatmap import add_heatmap
from MultiTaskSegLib.scene.result import add_result
from Testing.slicer import scene_samples as samples
from Testing.slicer.scene.test_result_table import found

NAMES = ("Red", "Green", "Yellow")
VIEW_PIXELS = 200


@pytest.fixture
def views(session):
    """Three slice views of a layout, as Slicer's layout manager makes them."""
    logics = []
    for name in NAMES:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(session.application_logic)
        session.application_logic.GetSliceLogics().AddItem(logic)
        logic.SetMRMLScene(session.scene)
        node = logic.AddSliceNode(name)
        node.SetDimensions(VIEW_PIXELS, VIEW_PIXELS, 1)
        node.SetMappedInLayout(1)
        logics.append(logic)
    yield logics
    session.application_logic.GetSliceLogics().RemoveAllItems()


def backgrounds(views) -> list[str]:
    return [view.GetSliceCompositeNode().GetBackgroundVolumeID() for view in views]


def far_away(name: str) -> object:
    """A volume a metre from the others, and larger."""
    volume = samples.volume(name=name)
    volume.SetOrigin(1000.0, 1000.0, 1000.0)
    volume.SetSpacing(3.0, 3.0, 3.0)
    return volume


def is_in_view(view, volume) -> bool:
    """Whether the whole volume lies within the field of view, and the slice goes through it."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    to_slice = np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.GetSliceNode().GetSliceToRAS()))
    corners = np.array([[bounds[i], bounds[2 + j], bounds[4 + k], 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    across = corners @ to_slice.T
    width, height, _ = view.GetSliceNode().GetFieldOfView()
    inside = (np.abs(across[:, 0]) <= width / 2.0 + 1e-6) & (np.abs(across[:, 1]) <= height / 2.0 + 1e-6)
    return bool(inside.all() and across[:, 2].min() <= 0.0 <= across[:, 2].max())


def test_views_that_turn_to_a_volume_are_fitted_to_it(views):
    first, second = samples.volume(name="first"), far_away("second")
    slice_layers.show_volume(first)
    assert all(is_in_view(view, first) for view in views)
    assert not any(is_in_view(view, second) for view in views)
    slice_layers.show_volume(second)
    assert backgrounds(views) == [second.GetID()] * 3
    assert all(is_in_view(view, second) for view in views)


def test_a_picture_of_one_slice_is_fitted_too(views):
    picture = samples.volume(name="picture", shape=(1, 60, 80))
    slice_layers.show_volume(far_away("other"))
    slice_layers.show_volume(picture)
    assert all(is_in_view(view, picture) for view in views)


def test_a_view_that_shows_the_volume_already_keeps_its_place(views):
    volume = samples.volume()
    slice_layers.show_volume(volume)
    views[0].GetSliceNode().SetSliceOffset(3.0)
    slice_layers.show_volume(volume)
    assert views[0].GetSliceNode().GetSliceOffset() == 3.0


def test_where_volumes_are_compared_each_view_keeps_its_own(views):
    first, second, third = samples.volume(name="first"), samples.volume(name="second"), far_away("third")
    for view, volume in zip(views, (first, second, second), strict=True):
        view.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    slice_layers.show_volume(second)
    assert backgrounds(views) == [first.GetID(), second.GetID(), second.GetID()]
    overlay = add_heatmap(second, np.ones((9, 12, 15), np.float32), "Uncertainty")
    slice_layers.show_heatmap(second, overlay, 0.5)
    foregrounds = [view.GetSliceCompositeNode().GetForegroundVolumeID() for view in views]
    assert foregrounds == [None, overlay.GetID(), overlay.GetID()]
    slice_layers.show_volume(third)
    assert backgrounds(views) == [third.GetID(), second.GetID(), second.GetID()]
    assert is_in_view(views[0], third)


def test_a_view_without_a_volume_is_no_comparison(views):
    first, second = samples.volume(name="first"), far_away("second")
    slice_layers.show_volume(first)
    views[2].GetSliceCompositeNode().SetBackgroundVolumeID(None)  # as of a layout that has just been chosen
    slice_layers.show_volume(second)
    assert backgrounds(views) == [second.GetID()] * 3


def test_views_that_are_not_in_the_layout_do_not_count(views, session):
    first, second = samples.volume(name="first"), samples.volume(name="second")
    slice_layers.show_volume(first)
    views[2].GetSliceNode().SetMappedInLayout(0)
    views[2].GetSliceCompositeNode().SetBackgroundVolumeID(second.GetID())
    assert slice_layers.shows_one_volume(session.scene)


def test_another_overlay_stays_while_ours_is_off(views):
    volume, pet = samples.volume(name="CT"), samples.volume(name="PET")
    overlay = add_heatmap(volume, np.ones((9, 12, 15), np.float32), "Uncertainty")
    slice_layers.show_volume(volume)
    composite = views[0].GetSliceCompositeNode()
    composite.SetForegroundVolumeID(pet.GetID())
    composite.SetForegroundOpacity(0.3)
    slice_layers.show_heatmap(volume, overlay, 0.0)
    assert (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()) == (pet.GetID(), 0.3)


def test_the_map_and_the_legend_of_another_volume_go(views):
    first, second = samples.volume(name="first"), samples.volume(name="second")
    overlay = add_heatmap(first, np.ones((9, 12, 15), np.float32), "Uncertainty")
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(overlay)
    slice_layers.show_heatmap(first, overlay, 0.5)
    assert legend.GetVisibility()
    before = legend.GetMTime()
    slice_layers.show_heatmap(first, overlay, 0.4)
    assert legend.GetMTime() > before  # views look only then whether the map is in them
    slice_layers.show_volume(second)
    assert [view.GetSliceCompositeNode().GetForegroundVolumeID() for view in views] == [None] * 3
    assert not legend.GetVisibility()
    slice_layers.show_heatmap(first, overlay, 0.5)
    assert legend.GetVisibility()


def test_one_result_is_drawn_at_a_time_and_segmentations_of_others_are_left_alone(views, session):
    first, second = samples.volume(name="first"), samples.volume(name="second")
    own = [
        add_result(volume, found(task=task)).segmentation
        for volume, task in ((first, "a"), (first, "b"), (second, "a"))
    ]
    foreign = session.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
    foreign.CreateDefaultDisplayNodes()

    def drawn() -> list[bool]:
        return [bool(node.GetDisplayNode().GetVisibility()) for node in (*own, foreign)]

    assert drawn() == [True] * 4
    slice_layers.hide_results_of_others(first)
    assert drawn() == [True, True, False, True]
    slice_layers.show_only(own[2], session.scene)
    assert drawn() == [False, False, True, True]
    for view, volume in zip(views, (first, second, second), strict=True):
        view.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    slice_layers.show_only(own[0], session.scene)
    assert drawn() == [False, False, True, True]  # two volumes are being compared
