"""Sequences of segmentations that a sequence already has, and which of them a new one may replace."""

from __future__ import annotations

import slicer

from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, is_good, remove_with_attachments
from MultiTaskSegLib.scene.handwork import has_name_as_made, has_segments_as_made
from MultiTaskSegLib.scene.volume_sequence import BROWSER_CLASS


def earlier_sequences(
    frames: slicer.vtkMRMLSequenceNode, new: slicer.vtkMRMLSequenceNode
) -> list[slicer.vtkMRMLSequenceNode]:
    """The sequences that were made from the same frames for the same task before."""
    task = new.GetAttribute(f"{PREFIX}Task")
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode", frames.GetScene())
        if node is not new
        and node.GetNodeReferenceID(INPUT_ROLE) == frames.GetID()
        and node.GetAttribute(f"{PREFIX}Task") == task
    ]


def replaceable(
    earlier: slicer.vtkMRMLSequenceNode, new: slicer.vtkMRMLSequenceNode, frames: slicer.vtkMRMLSequenceNode
) -> bool:
    """Whether nobody has edited or renamed an earlier sequence, and the new one has a good frame for each good one."""
    if not has_name_as_made(earlier):
        return False
    for number in range(earlier.GetNumberOfDataNodes()):
        value, node = earlier.GetNthIndexValue(number), earlier.GetNthDataNode(number)
        successor = new.GetDataNodeAtValue(value)
        if not has_segments_as_made(node, frames.GetDataNodeAtValue(value)):
            return False
        if is_good(node) and (successor is None or not is_good(successor)):
            return False
    return True


def remove_sequence(sequence: slicer.vtkMRMLSequenceNode) -> None:
    """Remove a sequence with the nodes that show it."""
    scene = sequence.GetScene()
    for browser in slicer.util.getNodesByClass(BROWSER_CLASS, scene):
        if browser.IsSynchronizedSequenceNode(sequence, True):
            shown = browser.GetProxyNode(sequence)
            browser.RemoveSynchronizedSequenceNode(sequence.GetID())
            if shown is not None and scene.IsNodePresent(shown):
                remove_with_attachments(shown)
    remove_with_attachments(sequence)
