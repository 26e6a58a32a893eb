"""The sequence that a volume shows a frame of."""

from __future__ import annotations

import slicer

BROWSER_CLASS = "vtkMRMLSequenceBrowserNode"


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
