"""A real MRML scene with Slicer's own C++ logics on slicer-core, without the Slicer application and without Qt.

Real: the scene, all nodes, storage, the module logics named below, displayable managers (see ``views.py``).
Stand-in: ``slicer.app``, ``slicer.modules`` (only ``.logic()``), and what Slicer's plugins for the subject hierarchy do
on their own: nodes that users see get an item as soon as they are in the scene.
"""

from __future__ import annotations

import tempfile
import types

import slicer
import vtk
from vtkmodules.vtkCommonCore import vtkCollection, vtkOutputWindow

MODULE_LOGICS = {
    "Plots": "vtkSlicerPlotsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
}


# Nodes that plugins of Slicer show in the hierarchy, among those that the modules make or work on.
SEEN_CLASSES = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTableNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLTransformNode",
    "vtkMRMLSequenceNode",
    "vtkMRMLSequenceBrowserNode",
)


class ModuleStandIn:
    """What ``slicer.modules.NAME`` offers here: its logic, and the path of a scripted module."""

    def __init__(self, logic: object = None, path: str = "") -> None:
        self._logic = logic
        self.path = path

    def logic(self) -> object:
        """The module logic, which is Slicer's own."""
        return self._logic


class MrmlSession:
    """One scene with its application logic. Keep it alive as long as its nodes and views are used."""

    def __init__(self) -> None:
        window = vtkOutputWindow()
        window.SetDisplayModeToAlwaysStdErr()
        vtkOutputWindow.SetInstance(window)
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.modules = types.SimpleNamespace()
        self._cache = tempfile.TemporaryDirectory(prefix="multitaskseg-test-")
        self._add_crosshair()
        self.application_logic.SetMRMLScene(self.scene)
        self._add_logics()
        self._add_remote_io()
        self._publish()
        self.scene.AddObserver(self.scene.NodeAddedEvent, self._add_item)
        self.scene.AddObserver(self.scene.NodeAboutToBeRemovedEvent, self._remove_item)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _add_item(self, scene: object, _event: str, node: object) -> None:
        """As ``qSlicerSubjectHierarchyPluginLogic`` does, except while a scene is being read or closed."""
        is_seen = any(node.IsA(kind) for kind in SEEN_CLASSES) and not node.GetHideFromEditors()
        if is_seen and not scene.IsBatchProcessing():
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
            if not hierarchy.GetItemByDataNode(node):
                hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _remove_item(self, scene: object, _event: str, node: object) -> None:
        """The item goes before its node, which has to be known to the hierarchy until then."""
        if scene is None or node.IsA("vtkMRMLSubjectHierarchyNode"):  # the scene itself goes
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = 0 if hierarchy is None else hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)  # the item alone, neither the node nor what lies below

    def _add_crosshair(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)

    def _add_logics(self) -> None:
        # Slicer's own colour logic wants the share folder of the application; it would also register the legend.
        colours = slicer.vtkMRMLColorLogic()
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self._register("Colors", colours)
        colours.AddDefaultColorNodes()
        self.application_logic.SetColorLogic(colours)
        self.application_logic.SetSliceLogics(vtkCollection())
        self.application_logic.SetViewLogics(vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        for name, class_name in MODULE_LOGICS.items():
            self._register(name, getattr(slicer, class_name)())

    def _register(self, name: str, logic: slicer.vtkMRMLAbstractLogic) -> None:
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self.application_logic.SetModuleLogic(name, logic)
        setattr(self.modules, name.lower(), ModuleStandIn(logic))

    def _add_remote_io(self) -> None:
        """Reading a scene bundle (MRB) goes through the data manager even for local files."""
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.SetMRMLScene(self.scene)
        self._remote.SetMRMLApplicationLogic(self.application_logic)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
        self._io = slicer.vtkDataIOManagerLogic()
        self._io.SetMRMLScene(self.scene)
        self._io.SetMRMLApplicationLogic(self.application_logic)
        self._io.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()

    def _publish(self) -> None:
        slicer.mrmlScene, slicer.modules = self.scene, self.modules
        slicer.app = types.SimpleNamespace(
            applicationLogic=lambda: self.application_logic,
            mrmlScene=lambda: self.scene,
            processEvents=lambda *_: None,
            connect=lambda *_: True,
            setOverrideCursor=lambda *_: None,
            restoreOverrideCursor=lambda: None,
            applicationVersion="slicer-core without Slicer",
            doubleClickInterval=0,  # tests click faster than hands
            testingEnabled=lambda: False,  # as for a user; True hides questions and installation
            translate=lambda _context, text: text,
            layoutManager=lambda: None,
            temporaryPath=self._cache.name,
        )

    def close(self) -> None:
        """Empty the scene and remove the cache folder."""
        self.scene.Clear(1)
        self._cache.cleanup()
