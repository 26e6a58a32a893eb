"""Which volumes of a scene are images, and which of them the user is looking at."""

from __future__ import annotations

import slicer

from MultiTaskSegLib.scene.heatmap import COLOUR_TABLE_TAG, MAP_ATTRIBUTE

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


def is_image(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node is a scalar volume that is no label map, no vector volume, and no map of our own making."""
    if node is None or node.GetClassName() != VOLUME_CLASS or node.GetHideFromEditors():
        return False
    if node.GetAttribute(MAP_ATTRIBUTE) is not None:
        return False
    display_node = node.GetDisplayNode()
    colours = display_node.GetColorNode() if display_node is not None else None
    return colours is None or colours.GetSingletonTag() != COLOUR_TABLE_TAG


def image_nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """All images of a scene, in its order."""
    count = scene.GetNumberOfNodesByClass(VOLUME_CLASS)
    return [node for node in (scene.GetNthNodeByClass(index, VOLUME_CLASS) for index in range(count)) if is_image(node)]


def active_image(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The image that is active in the application, else the first one of the scene, or None."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    active = scene.GetNodeByID(selection.GetActiveVolumeID() or "") if selection is not None else None
    return active if is_image(active) else next(iter(image_nodes(scene)), None)
