"""Which images a batch may be made of: all of the scene, or all frames of a volume's sequence."""

from __future__ import annotations

import slicer

from MultiTaskSegLib.scene.heatmap import is_heatmap

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"
BROWSER_CLASS = "vtkMRMLSequenceBrowserNode"


def images_of_scene(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """All scalar volumes of a scene but hidden ones, label maps, and maps that MultiTaskSeg and OOD Check made."""
    nodes = slicer.util.getNodesByClass(VOLUME_CLASS, scene)
    return [node for node in nodes if _is_image(node)]


def browser_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLNode | None:
    """The sequence browser that shows its current frame in a volume, or None for an ordinary volume."""
    for browser in slicer.util.getNodesByClass(BROWSER_CLASS, volume_node.GetScene()):
        if browser.IsProxyNodeID(volume_node.GetID()):
            return browser
    return None


def sequence_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLNode | None:
    """The sequence that a volume shows a frame of, or None for an ordinary volume."""
    browser = browser_of(volume_node)
    return None if browser is None else browser.GetSequenceNode(volume_node)


def _is_image(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    # Exactly this class: label maps, vectors and tensors derive from it.
    if node.GetClassName() != VOLUME_CLASS or node.GetHideFromEditors():
        return False
    return not is_heatmap(node)
