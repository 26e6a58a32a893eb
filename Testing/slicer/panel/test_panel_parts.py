"""What both panels are made of, each part alone (ON STAND-IN WIDGETS)."""

from __future__ import annotations

import importlib
import types

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.slicer import scene_samples as samples
from Testing.slicer.panel.test_lifecycle import observer_count


@pytest.fixture
def panel(stand_ins, session):
    """The parts, imported when Qt is there."""
    return types.SimpleNamespace(
        **{
            name: getattr(importlib.import_module(f"MultiTaskSegLib.panel.{file}"), name)
            for name, file in (
                ("SceneParameters", "scene_parameters"),
                ("PathBinding", "path_binding"),
                ("RunControl", "run_control"),
            )
        }
    )


@pytest.fixture
def parameters(panel, session):
    """Parameters of a panel without widgets, and how often they were told to have changed."""
    from Testing.slicer.stand_ins.panel import load_module

    calls: list[str] = []
    logic = load_module("OODCheck").OODCheckLogic()
    made = panel.SceneParameters(
        types.SimpleNamespace(),
        logic.getParameterNode,
        changed=lambda: calls.append("changed"),
        attached=lambda: calls.append("attached"),
    )
    yield made, calls
    made.release()


def test_a_change_of_a_parameter_is_told_and_none_after_the_release(parameters):
    made, calls = parameters
    assert calls == ["attached", "changed"]
    node = made.node
    node.folder = "elsewhere"
    assert calls == ["attached", "changed", "changed"]
    made.release()
    node.folder = "again"
    assert calls == ["attached", "changed", "changed"]


def test_closing_the_scene_lets_go_of_the_old_node_and_takes_a_fresh_one(parameters, session):
    made, calls = parameters
    made.node.folder = "old"
    old = made.node.parameterNode
    watched = observer_count(old)
    calls.clear()
    session.scene.Clear(1)
    assert made.node.folder == ""
    assert "attached" in calls
    assert observer_count(old) == watched  # a singleton: the same object, observed once


def test_leaving_and_entering_selects_a_volume_but_never_replaces_the_choice(parameters):
    made, _calls = parameters
    assert made.node.inputVolume is None
    first, second = samples.volume(name="first"), samples.volume(name="second")
    made.enter()
    assert made.node.inputVolume is first
    made.node.inputVolume = second
    made.enter()
    assert made.node.inputVolume is second


def test_the_volume_that_is_active_in_the_application_is_selected_first(parameters):
    made, _calls = parameters
    samples.volume(name="first")
    active = samples.volume(name="active")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(active.GetID())
    made.enter()
    assert made.node.inputVolume is active


def test_neither_labels_nor_our_own_maps_are_selected_for_the_user(parameters):
    from MultiTaskSegLib.scene.heatmap import add_heatmap

    made, _calls = parameters
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(labels.GetID())
    made.enter()
    assert made.node.inputVolume is None
    image = samples.volume(name="image")
    heatmap = add_heatmap(image, np.zeros((9, 12, 15), np.float32), "uncertainty")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(heatmap.GetID())
    made.enter()
    assert made.node.inputVolume is image


class LineEditStandIn:
    """``ctkPathLineEdit``: tells of paths that exist, and of nothing else."""

    currentPath = ""

    def children(self):
        return []

    def connect(self, signal, slot):
        assert signal == "currentPathChanged(QString)"
        self.tell = slot

    def choose(self, path):
        self.currentPath = path
        self.tell(path)


def test_a_path_goes_both_ways_and_what_is_being_typed_is_left_alone(panel):
    edit, node = LineEditStandIn(), types.SimpleNamespace(folder="saved")
    binding = panel.PathBinding(edit, "folder")
    edit.choose("before there is a node")
    binding.show(node)
    assert (edit.currentPath, node.folder) == ("saved", "saved")
    edit.choose("chosen")
    assert node.folder == "chosen"
    edit.currentPath = "half a pa"
    binding.show(node)
    assert edit.currentPath == "half a pa"
    node.folder = "set by a script"
    binding.show(node)
    assert edit.currentPath == "set by a script"


def test_what_was_cleared_silently_is_stored_before_use(panel):
    edit, node = LineEditStandIn(), types.SimpleNamespace(folder="saved")
    binding = panel.PathBinding(edit, "folder")
    binding.show(node)
    edit.currentPath = ""
    binding.store()
    assert node.folder == ""
    binding.show(None)
    edit.choose("without a node")
    assert node.folder == ""


class RunStandIn:
    """A run that is over when it is ended, or after some polls."""

    def __init__(self, polls: int = 10**9) -> None:
        self.job = types.SimpleNamespace(fraction=0.5, eta_s=3.0, step="network", poll=self._poll)
        self.polls_left, self.is_ended = polls, False

    def _poll(self) -> bool:
        self.polls_left -= 1
        return self.is_ended or self.polls_left < 0

    def end(self) -> None:
        self.is_ended = True


@pytest.fixture
def control(panel):
    import shiboken6

    ended: list[object] = []
    widgets = [types.SimpleNamespace(setRange=lambda *_: None) for _ in range(3)]
    made = panel.RunControl(*widgets, title="Go", finished=ended.append)
    yield types.SimpleNamespace(control=made, button=widgets[0], bar=widgets[1], label=widgets[2], ended=ended)
    made.release()
    shiboken6.delete(made.timer)


def test_progress_is_shown_until_the_run_is_over(control, until):
    run = RunStandIn(polls=2)
    control.control.watch(run)
    assert (control.button.text, control.button.enabled, control.bar.visible) == ("Cancel", True, True)
    assert until(lambda: bool(control.ended))
    assert control.ended == [run]
    assert (control.bar.value, control.label.text) == (50, "network: 50 %, about 3 s left")
    assert (control.button.text, control.bar.visible) == ("Go", False)


def test_cancelling_ends_the_run_and_tells_of_it_once(control):
    run = RunStandIn()
    control.control.watch(run)
    control.control.cancel()
    control.control.cancel()
    assert run.is_ended
    assert control.ended == [run]


def test_the_second_half_of_a_double_click_does_not_cancel_what_the_first_has_started(control, monkeypatch):
    run, times = RunStandIn(), iter([10.0, 10.39, 10.41])
    monkeypatch.setattr(slicer.app, "doubleClickInterval", 400)
    monkeypatch.setattr(importlib.import_module("MultiTaskSegLib.panel.run_control").time, "monotonic", times.__next__)
    control.control.watch(run)
    control.control.cancel()
    assert not run.is_ended
    control.control.cancel()
    assert run.is_ended


def test_a_release_ends_the_run_without_a_word(control):
    run = RunStandIn()
    control.control.watch(run)
    control.control.release()
    assert run.is_ended
    assert control.ended == []
    assert not control.control.is_running


def test_a_failure_at_the_end_leaves_a_button_that_works(panel):
    import shiboken6

    def fail(_run):
        raise ValueError("cannot show it")

    widgets = [types.SimpleNamespace(setRange=lambda *_: None) for _ in range(3)]
    control = panel.RunControl(*widgets, title="Go", finished=fail)
    control.watch(RunStandIn())
    with pytest.raises(ValueError, match="cannot show it"):
        control.cancel()
    assert (widgets[0].text, widgets[0].enabled) == ("Go", True)
    shiboken6.delete(control.timer)
