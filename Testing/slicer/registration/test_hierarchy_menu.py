"""The entries in the menu of a volume, with stand-ins for the plugin handler and the module selector of Slicer."""

from __future__ import annotations

import importlib
import importlib.util
import types
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from Testing.slicer import scene_samples as samples


class HandlerStandIn:
    """``qSlicerSubjectHierarchyPluginHandler``: the registered plugins, and the item that was clicked."""

    def __init__(self) -> None:
        self.plugins: list[object] = []
        self.item = 0

    def registerPlugin(self, plugin) -> None:
        assert plugin.name, "a plugin without a name is refused"
        self.plugins.append(plugin)

    def currentItem(self) -> int:
        return self.item


def scripted_plugin_class(qt) -> type:
    """``qSlicerSubjectHierarchyScriptedPlugin``: loads the class that is named like the file, and keeps its object."""

    class ScriptedPluginStandIn(qt.QWidget):
        name = ""

        def __init__(self, _parent) -> None:
            super().__init__()

        def setPythonSource(self, path: str) -> bool:
            name = Path(path).stem
            assert name.endswith("SubjectHierarchyPlugin")
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            setattr(slicer, name, getattr(module, name)(self))
            return True

    return ScriptedPluginStandIn


@pytest.fixture
def handler(stand_ins, session, monkeypatch):
    from Testing.slicer.stand_ins.python_qt import pythonqt

    made = HandlerStandIn()
    abstract = types.SimpleNamespace(SectionNode=10, setActionPosition=lambda action, section: action.setData(section))
    monkeypatch.setattr(
        slicer, "qSlicerSubjectHierarchyPluginHandler", types.SimpleNamespace(instance=lambda: made), raising=False
    )
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyAbstractPlugin", abstract, raising=False)
    monkeypatch.setattr(
        slicer, "qSlicerSubjectHierarchyScriptedPlugin", scripted_plugin_class(stand_ins), raising=False
    )
    monkeypatch.setattr(stand_ins, "QAction", pythonqt(stand_ins.QAction))
    # Registered here so that the attribute which Slicer's class sets is taken away again.
    monkeypatch.setattr(slicer, "MultiTaskSegSubjectHierarchyPlugin", None, raising=False)
    monkeypatch.delattr(slicer, "MultiTaskSegSubjectHierarchyPlugin")
    menu = importlib.import_module("MultiTaskSegLib.registration.hierarchy_menu")
    assert menu.register_menu()
    yield made
    monkeypatch.delattr(slicer, "MultiTaskSegSubjectHierarchyPlugin")


@pytest.fixture
def shown(handler):
    """Which entries the menu of a node has."""

    def entries(node) -> list[str]:
        plugin = slicer.MultiTaskSegSubjectHierarchyPlugin
        actions = plugin.itemContextMenuActions()
        for action in actions:
            action.visible = False  # as Slicer does
        plugin.showContextMenuActionsForItem(item_of(node))
        return [action.text for action in actions if action.visible]

    return entries


def item_of(node) -> int:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def test_the_menu_of_a_volume_offers_both_modules_and_other_menus_do_not(shown, monkeypatch):
    for name in ("multitaskseg", "oodcheck"):
        monkeypatch.setattr(slicer.modules, name, object(), raising=False)
    add = slicer.mrmlScene.AddNewNodeByClass
    assert shown(samples.volume()) == ["Segment with MultiTaskSeg", "Check distribution"]
    for kind in ("vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLSegmentationNode"):
        assert shown(add(kind, kind)) == []
    plugin = slicer.MultiTaskSegSubjectHierarchyPlugin
    plugin.segmentAction.visible = False
    plugin.showContextMenuActionsForItem(0)
    assert not plugin.segmentAction.visible


def test_the_plugin_is_registered_once_and_owns_nothing(handler):
    menu = importlib.import_module("MultiTaskSegLib.registration.hierarchy_menu")
    assert not menu.register_menu()
    assert [plugin.name for plugin in handler.plugins] == ["MultiTaskSeg"]
    assert slicer.MultiTaskSegSubjectHierarchyPlugin.canOwnSubjectHierarchyItem(item_of(samples.volume())) == 0.0


@pytest.fixture
def opened(handler, open_panel, worker, monkeypatch):
    """The panels, and the names of the modules that were opened."""
    widgets = {name: open_panel(name) for name in ("MultiTaskSeg", "OODCheck")}
    names: list[str] = []

    def select(name: str) -> None:
        names.append(name)
        widgets[name].enter()

    monkeypatch.setattr(slicer.util, "selectModule", select)
    monkeypatch.setattr(slicer.util, "getModuleWidget", widgets.__getitem__)
    return widgets, names


@pytest.mark.parametrize(
    ("entry", "module", "button", "title"),
    [
        ("segmentAction", "MultiTaskSeg", "segmentButton", "Segment"),
        ("checkAction", "OODCheck", "checkButton", "Check"),
    ],
)
def test_an_entry_opens_its_module_with_the_clicked_volume_and_starts(
    handler,
    opened,
    until,
    entry,
    module,
    button,
    title,
):
    widgets, names = opened
    samples.volume(name="other")
    clicked = samples.volume(name="clicked")
    handler.item = item_of(clicked)
    getattr(slicer.MultiTaskSegSubjectHierarchyPlugin, entry).trigger()
    assert names == [module]
    started = getattr(widgets[module].ui, button)
    assert started.text == "Cancel"
    assert until(lambda: started.text == title)
    assert clicked.GetAttribute("MultiTaskSeg.OOD") == "in distribution"
    assert widgets[module].ui.inputSelector.currentNode() is clicked


def test_during_a_run_an_entry_neither_cancels_nor_starts_anything(handler, opened, worker, until):
    worker("slow")
    widgets, _names = opened
    handler.item = item_of(samples.volume(name="first"))
    slicer.MultiTaskSegSubjectHierarchyPlugin.checkAction.trigger()
    handler.item = item_of(samples.volume(name="second"))
    for action in slicer.MultiTaskSegSubjectHierarchyPlugin.itemContextMenuActions():
        action.trigger()
    assert widgets["OODCheck"].ui.checkButton.text == "Cancel"
    assert widgets["MultiTaskSeg"].ui.segmentButton.text == "Segment"


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("MultiTaskSeg", ["register_menu", "register_effect", "register_sample_data"]),
        ("OODCheck", ["register_menu", "register_sample_data"]),
    ],
)
def test_each_module_registers_what_is_its_own_when_slicer_has_started(
    stand_ins, session, monkeypatch, module, expected
):
    from Testing.slicer.stand_ins.panel import load_module

    startup = importlib.import_module("MultiTaskSegLib.registration.startup")
    connected: list[tuple[str, object]] = []
    done: list[str] = []
    monkeypatch.setattr(slicer.app, "connect", lambda signal, slot: connected.append((signal, slot)))
    parent = types.SimpleNamespace()
    getattr(load_module(module), module)(parent)
    for function in ("register_menu", "register_effect", "register_sample_data"):
        monkeypatch.setattr(startup, function, lambda function=function: done.append(function))
    assert done == []
    assert {signal for signal, _slot in connected} == {"startupCompleted()"}
    for _signal, slot in connected:
        slot()
    assert done == expected
    assert parent.dependencies == []  # or Slicer would not load one while the other is disabled


@pytest.mark.parametrize(
    ("module", "entry"), [("multitaskseg", "Segment with MultiTaskSeg"), ("oodcheck", "Check distribution")]
)
def test_the_menu_offers_only_the_module_that_is_there(shown, monkeypatch, module, entry):
    for name in ("multitaskseg", "oodcheck"):
        if name != module:
            monkeypatch.delattr(slicer.modules, name, raising=False)
    monkeypatch.setattr(slicer.modules, module, object(), raising=False)
    assert shown(samples.volume()) == [entry]
