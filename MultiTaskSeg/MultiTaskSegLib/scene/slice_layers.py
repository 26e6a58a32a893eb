"""Brings a volume, its overlay and its result into the slice views, and takes what belongs to other volumes out."""

from __future__ import annotations

from typing import Any

import slicer

from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE
from MultiTaskSegLib.scene.heatmap import MAP_ATTRIBUTE

COMPOSITE_CLASS = "vtkMRMLSliceCompositeNode"
COVERED = "MultiTaskSeg.Covered"  # role and opacity, of a view, of what lay over the image before a map of ours


def shown_views(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    """The slice views of the present layout, as the nodes that say what they show; all where no layout is known."""
    composites = slicer.util.getNodesByClass(COMPOSITE_CLASS, scene)
    slices = slicer.util.getNodesByClass("vtkMRMLSliceNode", scene)
    in_layout = {node.GetLayoutName() for node in slices if node.IsMappedInLayout()}
    return [view for view in composites if view.GetLayoutName() in in_layout] or composites


def shown_volumes(scene: slicer.vtkMRMLScene) -> frozenset[str]:
    """The IDs of the volumes that are the background of a view of the layout."""
    return frozenset(filter(None, (view.GetBackgroundVolumeID() for view in shown_views(scene))))


def shows_one_volume(scene: slicer.vtkMRMLScene) -> bool:
    """Whether all views of the layout have the same background, or none: no two volumes are being compared."""
    return len(shown_volumes(scene)) <= 1


def hide(segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
    """Draw a segmentation in no view."""
    if segmentation_node.GetDisplayNode() is not None:
        segmentation_node.GetDisplayNode().SetVisibility(False)


def show_volume(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Make sure that a volume can be seen; views that turn to it are fitted to it.

    Where views show different volumes, those that show another one are left alone; if none shows this one, the first
    turns to it. Overlays of our own making that belong to other volumes go.
    """
    scene = volume_node.GetScene()
    for view in _views_for(volume_node):
        foreground = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
        if view.GetBackgroundVolumeID() != volume_node.GetID():
            if is_own_map(foreground):
                view.SetForegroundVolumeID(None)
                view.RemoveNodeReferenceIDs(COVERED)  # which lay over another image
            view.SetBackgroundVolumeID(volume_node.GetID())
            _fit(view)
    refresh_legends(scene)


def show_overlay(
    volume_node: slicer.vtkMRMLScalarVolumeNode, map_node: slicer.vtkMRMLScalarVolumeNode, opacity: float
) -> None:
    """Show a map over its volume in the views that show the volume; with opacity 0 whatever else lies over it stays.

    What a map covers, such as a PET, comes back with opacity 0, and when the map goes.
    """
    scene = volume_node.GetScene()
    for view in slicer.util.getNodesByClass(COMPOSITE_CLASS, scene):
        if view.GetBackgroundVolumeID() != volume_node.GetID():
            continue
        if opacity > 0.0:
            _cover(view, map_node)
        if view.GetForegroundVolumeID() == map_node.GetID() and not (opacity == 0.0 and _uncover(view)):
            view.SetForegroundOpacity(opacity)
    refresh_legends(scene)


def hide_uncertainty_but(
    volume_node: slicer.vtkMRMLScalarVolumeNode, map_node: slicer.vtkMRMLScalarVolumeNode | None
) -> None:
    """Take the uncertainty of any other result off a volume; a map of foreign places belongs to no result and stays."""
    scene = volume_node.GetScene()
    for view in slicer.util.getNodesByClass(COMPOSITE_CLASS, scene):
        over = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
        is_uncertainty = is_own_map(over) and over.GetNodeReferenceID(INPUT_ROLE) is None
        is_stray = is_uncertainty and over is not map_node and view.GetBackgroundVolumeID() == volume_node.GetID()
        if is_stray and not _uncover(view):
            view.SetForegroundVolumeID(None)
    refresh_legends(scene)


def show_heatmap(
    volume_node: slicer.vtkMRMLScalarVolumeNode, heatmap_node: slicer.vtkMRMLScalarVolumeNode, opacity: float
) -> None:
    """Show a volume with a map over it; ``opacity`` 0 hides the map and its legend."""
    show_volume(volume_node)
    show_overlay(volume_node, heatmap_node, opacity)


def show_only(segmentation_node: slicer.vtkMRMLSegmentationNode | None, scene: slicer.vtkMRMLScene) -> None:
    """Draw this result and no other one: those of other volumes lie somewhere else, those of this one hide it.

    Segmentations that were not made by MultiTaskSeg are left alone, and so are all where volumes are compared.
    """
    if not shows_one_volume(scene):
        return
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene):
        if node.GetNodeReferenceID(INPUT_ROLE) is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(node is segmentation_node)


def hide_results_of_others(volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Draw no result of another volume; what of this volume is drawn stays as it is. Not where volumes are compared."""
    if not shows_one_volume(volume_node.GetScene()):
        return
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", volume_node.GetScene()):
        if node.GetNodeReferenceID(INPUT_ROLE) not in (None, volume_node.GetID()):
            hide(node)


def is_own_map(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a node is a map of uncertainty or of foreign places."""
    return node is not None and node.GetAttribute(MAP_ATTRIBUTE) is not None


def refresh_legends(scene: slicer.vtkMRMLScene) -> None:
    """Show the colour legends of those of our maps that can be seen, and no other ones."""
    seen = {view.GetForegroundVolumeID() for view in shown_views(scene) if view.GetForegroundOpacity() > 0.0}
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode", scene):
        node = legend.GetDisplayableNode()
        if is_own_map(node):
            legend.SetVisibility(node.GetID() in seen)
            legend.Modified()  # only then the views look whether its volume is in them by now


def _cover(view: slicer.vtkMRMLSliceCompositeNode, map_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Lay a map over a view, with a note of what it covers, unless that is another map."""
    covered = view.GetScene().GetNodeByID(view.GetForegroundVolumeID() or "")
    if covered is not None and not is_own_map(covered):
        view.SetNodeReferenceID(COVERED, covered.GetID())
        view.SetAttribute(COVERED, str(view.GetForegroundOpacity()))
    view.SetForegroundVolumeID(map_node.GetID())


def _uncover(view: slicer.vtkMRMLSliceCompositeNode) -> bool:
    """Bring back what a map of ours covers; whether there is such a volume."""
    covered = view.GetNodeReference(COVERED)
    if covered is None:
        return False
    view.RemoveNodeReferenceIDs(COVERED)
    view.SetForegroundVolumeID(covered.GetID())
    view.SetForegroundOpacity(float(view.GetAttribute(COVERED)))
    return True


def _views_for(volume_node: slicer.vtkMRMLScalarVolumeNode) -> list[Any]:
    scene = volume_node.GetScene()
    if shows_one_volume(scene):
        return list(slicer.util.getNodesByClass(COMPOSITE_CLASS, scene))
    views = shown_views(scene)
    return [view for view in views if view.GetBackgroundVolumeID() == volume_node.GetID()] or views[:1]


def _fit(view: slicer.vtkMRMLSliceCompositeNode) -> None:
    """Position and zoom of a view, so that all of its background is in it."""
    logics = slicer.app.applicationLogic().GetSliceLogics()
    for index in range(0 if logics is None else logics.GetNumberOfItems()):
        logic = logics.GetItemAsObject(index)
        if logic.GetSliceCompositeNode() is view:
            logic.FitSliceToBackground()
