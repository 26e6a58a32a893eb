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


def shown_frame(volume_node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Which frame of its sequence a volume shows, such as ``time=10ms``; empty for an ordinary volume."""
    browser = None if volume_node.GetScene() is None else browser_of(volume_node)
    if browser is None:
        return ""
    # Items of a browser are those of its first sequence; others follow it by value.
    return frame_title(browser.GetMasterSequenceNode(), browser.GetSelectedItemNumber())


def frame_title(sequence_node: slicer.vtkMRMLNode | None, number: int) -> str:
    """What to call a frame of a sequence: its index value with name and unit."""
    if sequence_node is None or not 0 <= number < sequence_node.GetNumberOfDataNodes():
        return f"frame {number}"
    return f"{sequence_node.GetIndexName()}={sequence_node.GetNthIndexValue(number)}{sequence_node.GetIndexUnit()}"
