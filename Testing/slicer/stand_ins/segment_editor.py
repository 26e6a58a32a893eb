"""STAND-IN for the Segment Editor: its Python base class, the C++ object behind a scripted effect, and their registry.

Real: the node with the editor's choices, the segmentation, and its history, by which the editor undoes.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import slicer


class AbstractScriptedSegmentEditorEffect:
    """Base of scripted effects."""

    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        self.scriptedEffect.editor.register(self.scriptedEffect)


class SegmentEditor:
    """An editor in the scene of a test, with the effects that have been registered."""

    def __init__(self, qt: types.ModuleType) -> None:
        self.qt = qt
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.history = slicer.vtkSegmentationHistory()
        self.registered: list[object] = []
        self.active: list[object] = []

    def register(self, effect) -> None:
        """Refuses what Slicer's factory refuses."""
        assert effect.name, "an effect needs a name"
        assert effect.name not in [known.name for known in self.registered]
        self.registered.append(effect)

    def edit(self, volume, segmentation) -> None:
        """Select what is edited; the effects hear of another volume."""
        self.node.SetAndObserveSourceVolumeNode(volume)
        self.node.SetAndObserveSegmentationNode(segmentation)
        self.history.SetSegmentation(None if segmentation is None else segmentation.GetSegmentation())
        for effect in self.active:
            effect.self().sourceVolumeNodeChanged()

    def open(self, name: str):
        """The effect as the editor makes it: a clone of the registered one, whose options have been set up."""
        registered = next(effect for effect in self.registered if effect.name == name)
        effect = registered.self().clone()
        effect.self().setupOptionsFrame()
        self.active.append(effect)
        return effect.self()

    def undo(self) -> None:
        """What the button does."""
        self.history.RestorePreviousState()

    def close(self) -> None:
        """The editor is taken down."""
        for effect in self.active:
            effect.self().cleanup()
            effect.frame.deleteLater()


def effects_module(editor: SegmentEditor) -> types.ModuleType:
    """``qSlicerSegmentationsEditorEffectsPythonQt``."""

    class qSlicerSegmentEditorScriptedEffect:
        def __init__(self, _parent):
            self.editor, self.name = editor, ""
            self.perSegment, self.requireSegments = True, True
            self.frame = editor.qt.QWidget()
            self.frame.setLayout(editor.qt.QVBoxLayout())

        def setPythonSource(self, path: str) -> bool:
            # The module is named after the folder and the class after the file, as in Slicer.
            folder, name = Path(path).parent.name, Path(path).stem
            assert "\\" not in path
            assert name.endswith("Effect")
            module = sys.modules.get(folder)
            if not hasattr(module, name):
                spec = importlib.util.spec_from_file_location(folder, path)
                module = sys.modules[folder] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            self._self = getattr(module, name)(self)
            setattr(slicer, folder, self._self)
            return True

        def self(self):
            return self._self

        def parameterSetNode(self):
            return editor.node

        def addOptionsWidget(self, widget) -> None:
            self.frame.layout().addWidget(widget)

        def saveStateForUndo(self) -> None:
            editor.history.SaveState()

    module = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    module.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    return module
