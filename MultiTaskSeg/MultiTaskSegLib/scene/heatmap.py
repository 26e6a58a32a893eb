"""Uncertainty as a colour overlay on the volume that was segmented."""

from __future__ import annotations

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.scene.node.placement import place_beside

COLOUR_TABLE_NAME = "Uncertainty (MultiTaskSeg)"
COLOUR_TABLE_TAG = "MultiTaskSegUncertainty"
MAP_ATTRIBUTE = "MultiTaskSeg.Map"  # tells a map of ours from an image, whatever colours it is given
COLOURS = 256
# Dark to bright with rising red, so that it reads over a grey image and for colour-blind eyes (lightness is monotone).
ANCHORS_RGB = ((0.10, 0.02, 0.30), (0.55, 0.06, 0.45), (0.90, 0.25, 0.20), (0.99, 0.65, 0.10), (1.00, 1.00, 0.70))
DEFAULT_THRESHOLD = 0.2  # of the normalised entropy: with two classes the likelier one has 97 % there
DEFAULT_OPACITY = 0.6
LEGEND_POSITION = (0.97, 0.08)  # lower right, where it hides least
LEGEND_SIZE = (0.08, 0.3)  # share of the view; the text grows with it


def add_heatmap(
    volume_node: slicer.vtkMRMLScalarVolumeNode, uncertainty: NDArray[np.float32], name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the uncertainty, float32 ``(Z, Y, X)`` in [0, 1] on the grid of ``volume_node``, as a scalar volume.

    It has the geometry and the parent transform of the volume, a fixed window of 0 to 1, its own colour table, a
    threshold below which it is transparent, and a colour legend.
    """
    node = volume_node.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAttribute(MAP_ATTRIBUTE, "1")
    node.CopyOrientation(volume_node)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()  # before there are voxels: else it would look at all of them for a window
    display_node = node.GetDisplayNode()
    display_node.SetAndObserveColorNodeID(uncertainty_colours(volume_node.GetScene()).GetID())
    display_node.AutoWindowLevelOff()
    display_node.SetWindowLevelMinMax(0.0, 1.0)
    display_node.SetInterpolate(False)  # a threshold on interpolated values would draw a false rim
    set_threshold(node, DEFAULT_THRESHOLD)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(uncertainty, dtype=np.float32))
    _add_legend(node)
    place_beside(volume_node, node)
    return node


def set_threshold(heatmap_node: slicer.vtkMRMLScalarVolumeNode, lowest: float) -> None:
    """Show the heatmap only where the uncertainty is at least ``lowest``."""
    display_node = heatmap_node.GetDisplayNode()
    display_node.AutoThresholdOff()
    display_node.ApplyThresholdOn()
    display_node.SetThreshold(lowest, 1.0)


def uncertainty_colours(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The colour table of all heatmaps of a scene; made when it is not there yet."""
    existing = scene.GetSingletonNode(COLOUR_TABLE_TAG, "vtkMRMLColorTableNode")
    if existing is not None:
        return existing
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)
    node.SetName(COLOUR_TABLE_NAME)
    node.SetSingletonTag(COLOUR_TABLE_TAG)
    node.SetTypeToUser()
    node.SetNumberOfColors(COLOURS)
    for index, (red, green, blue) in enumerate(colour_values()):
        node.SetColor(index, f"{index / (COLOURS - 1):.3f}", red, green, blue, 1.0)
    return scene.AddNode(node)


def colour_values() -> NDArray[np.float64]:
    """The colour table, ``(256, 3)`` in [0, 1], linear between the anchors."""
    position = np.linspace(0.0, 1.0, COLOURS)
    anchors = np.linspace(0.0, 1.0, len(ANCHORS_RGB))
    return np.stack([np.interp(position, anchors, channel) for channel in zip(*ANCHORS_RGB, strict=True)], axis=1)


def _add_legend(heatmap_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(heatmap_node)
    if legend is None:
        return
    legend.SetTitleText("Uncertainty")
    legend.SetNumberOfLabels(3)
    legend.SetLabelFormat("%.1f")
    legend.SetPosition(*LEGEND_POSITION)
    legend.SetSize(*LEGEND_SIZE)
