"""Results that a volume already has: found, kept or replaced, never lost by accident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.scene import attributes
from MultiTaskSegLib.scene.handwork import is_as_made

INPUT_ROLE = "MultiTaskSeg.Input"
UNCERTAINTY_ROLE = "MultiTaskSeg.Uncertainty"
TABLE_ROLE = "MultiTaskSeg.Table"
KEEP, REPLACE = "keep", "replace"
CHOICES = (KEEP, REPLACE)


def require_choice(existing: str) -> None:
    """Refuse anything but `KEEP` and `REPLACE`.

    Raises:
        UsageError: it is neither.
    """
    if existing not in CHOICES:
        raise UsageError(f"there is no choice {existing!r}", remedy=f"Use {' or '.join(CHOICES)}")


def link_result(
    volume_node: slicer.vtkMRMLVolumeNode,
    segmentation: slicer.vtkMRMLSegmentationNode,
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None,
    table: slicer.vtkMRMLTableNode,
) -> None:
    """Note on the segmentation what it was made from and what belongs to it, as references that are saved with it."""
    segmentation.SetNodeReferenceID(INPUT_ROLE, volume_node.GetID())
    if uncertainty is not None:
        segmentation.SetNodeReferenceID(UNCERTAINTY_ROLE, uncertainty.GetID())
    segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())


def results_of(volume_node: slicer.vtkMRMLVolumeNode) -> list[slicer.vtkMRMLSegmentationNode]:
    """The segmentations that were made from a volume, the newest last."""
    scene = volume_node.GetScene()
    if scene is None:
        return []
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    return [node for node in nodes if node.GetNodeReferenceID(INPUT_ROLE) == volume_node.GetID()]


def earlier_results(volume_node: slicer.vtkMRMLVolumeNode, task: str) -> list[slicer.vtkMRMLSegmentationNode]:
    """Those results of a volume that were made for the given task."""
    return [node for node in results_of(volume_node) if node.GetAttribute(f"{attributes.PREFIX}Task") == task]


def is_good_report(report: Mapping[str, Any]) -> bool:
    """Whether a result is worth replacing a good one: its image was checked and is in distribution, and something was
    found in it."""
    ood = report["ood"]
    return ood is not None and not ood["is_ood"] and attributes.found_something(report.get("labels", []))


def is_good(segmentation: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether the result in the scene was a good one when it was made, as far as its attributes tell."""
    verdict = attributes.read_verdict(segmentation)
    found = segmentation.GetAttribute(f"{attributes.PREFIX}Found")
    return verdict is not None and not verdict.is_ood and found != attributes.NOTHING


def is_handwork(segmentation: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether somebody has edited or renamed a result, so that it must not be removed."""
    belonging = [segmentation.GetNodeReference(role) for role in (UNCERTAINTY_ROLE, TABLE_ROLE)]
    volume_node = segmentation.GetNodeReference(INPUT_ROLE)
    return not is_as_made(segmentation, volume_node, [node for node in belonging if node is not None])


def remove_result(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Remove a segmentation with its heatmap, its table and their display and storage nodes.

    What another segmentation refers to as well, such as a clone that somebody edits, stays.
    """
    others = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", segmentation.GetScene())
    for role in (UNCERTAINTY_ROLE, TABLE_ROLE):
        node = segmentation.GetNodeReference(role)
        is_shared = any(other is not segmentation and other.GetNodeReference(role) is node for other in others)
        if node is not None and not is_shared:
            remove_with_attachments(node)
    remove_with_attachments(segmentation)


def remove_with_attachments(node: slicer.vtkMRMLStorableNode) -> None:
    """Remove a node with its display and storage nodes, which a scene would keep and save for ever."""
    scene = node.GetScene()
    displays = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())] if _is_shown(node) else []
    storages = [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    scene.RemoveNode(node)
    for attachment in [*displays, *storages]:
        if attachment is not None and scene.IsNodePresent(attachment):
            scene.RemoveNode(attachment)


def _is_shown(node: slicer.vtkMRMLNode) -> bool:
    return node.IsA("vtkMRMLDisplayableNode")
