"""The panels' choices on a parameter node with the traits of Slicer's own (A STAND-IN, see its first lines)."""

from __future__ import annotations

import typing

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.slicer import scene_samples as samples


def test_a_colour_picture_can_be_selected_so_that_it_can_be_refused_and_mended(open_panel, worker):
    panel = open_panel("MultiTaskSeg")
    picture = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "picture")
    panel.ui.inputSelector.setCurrentNode(picture)
    assert panel.parameters.inputVolume is picture
    assert not panel.ui.preflightLabel.isHidden()


def test_what_was_chosen_last_is_chosen_in_a_scene_that_was_closed(open_panel, worker):
    panel = open_panel("MultiTaskSeg")
    panel.parameters.device = "cpu"
    panel.ui.existingComboBox.setCurrentIndex(panel.ui.existingComboBox.findData("replace"))
    slicer.mrmlScene.Clear(0)
    assert (panel.parameters.device, panel.parameters.existing) == ("cpu", "replace")


def test_a_choice_that_differs_from_the_last_one_is_not_overwritten_when_the_node_is_asked_for_again(
    open_panel, worker
):
    panel = open_panel("MultiTaskSeg")
    panel.parameters.existing = "keep"
    assert panel.logic.getParameterNode().existing == "keep"


@pytest.mark.parametrize("module", ["MultiTaskSeg", "OODCheck"])
def test_a_panel_that_is_gone_no_longer_writes_what_its_widgets_show(open_panel, worker, module):
    volume = samples.volume()
    widget = open_panel(module)
    parameters = widget.logic.getParameterNode()
    widget.cleanup()
    widget.ui.inputSelector.setCurrentNode(None)
    assert parameters.inputVolume is volume


@pytest.mark.parametrize("module", ["MultiTaskSeg", "OODCheck"])
def test_the_node_keeps_one_wrapper_however_often_it_is_asked_for(open_panel, worker, module):
    from Testing.slicer.stand_ins.parameter_node import own_observer_count

    logic = open_panel(module).logic
    node = logic.getParameterNode().parameterNode
    before = own_observer_count(node)
    for _ in range(3):
        logic.getParameterNode()
    assert own_observer_count(node) == before


def test_the_stand_in_refuses_what_slicer_refuses(stand_ins, session):
    from Testing.slicer.stand_ins.parameter_node import parameterNodeWrapper

    class WithBar:
        node: slicer.vtkMRMLScalarVolumeNode | None

    with pytest.raises(Exception, match="Unable to create serializer"):
        parameterNodeWrapper(WithBar)

    class WithoutNone:
        node: typing.Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLModelNode]  # noqa: UP007

    WithoutNone.__annotations__["node"] = typing.Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLModelNode]  # noqa: UP007
    with pytest.raises(TypeError, match="Unable to write value 'None'"):
        parameterNodeWrapper(WithoutNone)(slicer.mrmlScene.AddNode(slicer.vtkMRMLScriptedModuleNode()))
