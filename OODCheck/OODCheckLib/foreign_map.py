"""Where an image is foreign, as a colour overlay on its volume."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, remove_with_attachments
from MultiTaskSegLib.scene.heatmap import DEFAULT_OPACITY, add_heatmap
from MultiTaskSegLib.scene.slice_layers import show_heatmap

MAP_ROLE = "MultiTaskSeg.ForeignMap"
LARGEST = 4.0  # one in ten thousand cells of known images
SHOWN_FROM = 2.0  # one in a hundred
KNOWN_SHARE = 0.01  # of the places of known images are shown
FEW = 2.0  # times as many are nothing to speak of
SHARE_ATTRIBUTE = "MultiTaskSeg.Foreign.Share"


def add_foreign_map(
    volume_node: slicer.vtkMRMLScalarVolumeNode, rarity: NDArray[np.float32]
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the map for a volume; it replaces the one that the volume had.

    Args:
        volume_node: the image; refers to the map in the role ``MultiTaskSeg.ForeignMap``.
        rarity: float32 ``(Z, Y, X)``, 0 to 4, see `Predictor.locate`.
    """
    earlier = foreign_map(volume_node)
    name = _("{image} foreign places").format(image=volume_node.GetName())
    node = add_heatmap(volume_node, rarity, name)
    node.SetNodeReferenceID(INPUT_ROLE, volume_node.GetID())
    display_node = node.GetDisplayNode()
    display_node.SetWindowLevelMinMax(0.0, LARGEST)
    display_node.SetThreshold(SHOWN_FROM, LARGEST)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(_("Rarity (2: 1 in 100)"))
    volume_node.SetNodeReferenceID(MAP_ROLE, node.GetID())
    node.SetAttribute(SHARE_ATTRIBUTE, f"{float(np.mean(rarity >= SHOWN_FROM)):.6g}")
    if earlier is not None:  # only now that the new one is there
        remove_with_attachments(earlier)
        node.SetName(name)
    return node


def remove_foreign_map(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove the map of a volume with its display and legend, if it has one."""
    node = foreign_map(volume_node)
    volume_node.RemoveNodeReferenceIDs(MAP_ROLE)
    if node is not None:
        remove_with_attachments(node)


def foreign_map(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The map of a volume, or None. A clone of a volume refers to the map of the original, which is not its own."""
    node = volume_node.GetNodeReference(MAP_ROLE)
    return node if node is not None and node.GetNodeReferenceID(INPUT_ROLE) == volume_node.GetID() else None


def show_foreign_map(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show the map over its volume in the slice views; does nothing where there is none, or nothing in it."""
    node = foreign_map(volume_node)
    if node is not None and foreign_share(volume_node) != 0.0:
        show_heatmap(volume_node, node, DEFAULT_OPACITY)


def foreign_share(volume_node: slicer.vtkMRMLScalarVolumeNode) -> float | None:
    """Share of a volume that its map shows, 0 to 1; None where there is no map."""
    node = foreign_map(volume_node)
    text = None if node is None else node.GetAttribute(SHARE_ATTRIBUTE)
    return None if text is None else float(text)


def foreign_words(volume_node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """What the map shows, in one sentence; empty where there is no map."""
    share = foreign_share(volume_node)
    if share is None:
        return ""
    if share <= FEW * KNOWN_SHARE:
        return _("Nowhere foreign: {percent:.2g} % of it is as rare as 1 in 100, as in known images (1 %).").format(
            percent=100.0 * share
        )
    return _(
        "Foreign in part: {percent:.2g} % of it is as rare as 1 in 100 or rarer; of known images it is 1 %."
    ).format(percent=100.0 * share)
