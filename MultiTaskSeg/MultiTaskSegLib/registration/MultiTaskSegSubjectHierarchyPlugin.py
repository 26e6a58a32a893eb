"""Menu of a volume in the subject hierarchy: "Segment with MultiTaskSeg" and "Check distribution".

Slicer loads this file by its path and takes the class that is named like it. It calls the methods by their names, so no
base class is needed, which lies in different places from one version of Slicer to the next.
"""

# ruff: noqa: N802 (Slicer gives the names)

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.registration.hierarchy_menu import PLUGIN_NAME
from MultiTaskSegLib.registration.module_presence import has_module
from MultiTaskSegLib.scene.image_node import is_image

MENU_SECTION_OFFSET = 5  # behind Slicer's own entries for nodes


class MultiTaskSegSubjectHierarchyPlugin:
    """Owns no item of the hierarchy: it only adds to the menu."""

    def __init__(self, scriptedPlugin: Any) -> None:
        """Called by Slicer with the C++ object that this class speaks for."""
        scriptedPlugin.name = PLUGIN_NAME
        self.scriptedPlugin = scriptedPlugin
        self.segmentAction = self._action(_("Segment with MultiTaskSeg"), self.onSegment)
        self.checkAction = self._action(_("Check distribution"), self.onCheck)
        slicer.qSlicerSubjectHierarchyPluginHandler.instance().registerPlugin(scriptedPlugin)

    def canOwnSubjectHierarchyItem(self, _itemID: int) -> float:
        """Never: volumes belong to Slicer's own plugin."""
        return 0.0

    def itemContextMenuActions(self) -> list[Any]:
        """What may be added to the menu of an item."""
        return [self.segmentAction, self.checkAction]

    def showContextMenuActionsForItem(self, itemID: int) -> None:
        """Show the entries for an image, of those modules that are there; Slicer hides them before each call."""
        if is_image(data_node(itemID)):
            self.segmentAction.visible = has_module("MultiTaskSeg")
            self.checkAction.visible = has_module("OODCheck")

    def onSegment(self) -> None:
        """Open MultiTaskSeg with the volume and start; only select it while another run is under way."""
        widget = self._open("MultiTaskSeg")
        if not shared_runner().is_busy and widget.ui.segmentButton.enabled:
            widget.ui.segmentButton.click()

    def onCheck(self) -> None:
        """Open OODCheck with the volume and start; only select it while another run is under way."""
        widget = self._open("OODCheck")
        widget.logic.getParameterNode().scope = "volume"
        if not shared_runner().is_busy and widget.ui.checkButton.enabled:
            widget.ui.checkButton.click()

    def _action(self, text: str, triggered: Any) -> Any:
        action = qt.QAction(text, self.scriptedPlugin)
        position = slicer.qSlicerSubjectHierarchyAbstractPlugin.SectionNode + MENU_SECTION_OFFSET
        slicer.qSlicerSubjectHierarchyAbstractPlugin.setActionPosition(action, position)
        action.connect("triggered()", triggered)
        return action

    def _open(self, moduleName: str) -> Any:
        """The panel of a module, opened, with the clicked volume selected."""
        handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
        volumeNode = data_node(handler.currentItem())
        slicer.util.selectModule(moduleName)
        widget = slicer.util.getModuleWidget(moduleName)
        widget.logic.getParameterNode().inputVolume = volumeNode
        return widget


def data_node(itemID: int) -> slicer.vtkMRMLNode | None:
    """The node of an item of the subject hierarchy; None for folders and for the scene."""
    if not itemID:
        return None
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemDataNode(itemID)
