"""STAND-INS for Slicer's Python classes: the scripted module bases, translation and the typed parameter node.

The parameter values are kept in a real ``vtkMRMLScriptedModuleNode``, as in Slicer.
"""

from __future__ import annotations

import os
import types
import typing
import unittest
from dataclasses import dataclass

import slicer
import vtk

PROPERTY = "SlicerParameterName"


class ScriptedLoadableModule:
    """Base of a module class."""

    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    """Base of a panel; ``parent`` is a widget with a layout."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name):
        folder = os.path.dirname(getattr(slicer.modules, self.moduleName.lower()).path)
        return os.path.join(folder, "Resources", name)

    def setup(self):
        """Nothing of its own here."""


class ScriptedLoadableModuleLogic:
    """Base of a logic: one parameter node per scene."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a self-test."""

    def runTest(self):
        """Replaced by the self-tests."""


@dataclass
class Choice:
    """One of these values."""

    choices: list


@dataclass
class WithinRange:
    """A number between these two."""

    minimum: float
    maximum: float


def _is_node(kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _parameter(name: str, kind: type, default) -> property:
    def read(self):
        if _is_node(kind):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        if not self.parameterNode.HasParameter(name):
            return default
        return text == "true" if kind is bool else kind(text)

    def write(self, value):
        if _is_node(kind):
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            return
        if not isinstance(value, kind):
            raise TypeError(f"{name} is a {kind.__name__}, not {value!r}")
        self.parameterNode.SetParameter(name, str(value).lower() if kind is bool else str(value))

    return property(read, write)


def parameterNodeWrapper(described: type) -> type:
    """Make typed properties over a parameter node out of annotations; widgets are bound by a dynamic property."""
    hints = typing.get_type_hints(described, include_extras=True)
    defaults = {name: getattr(described, name) for name in hints if hasattr(described, name)}
    members: dict = {"parameters": hints, "defaults": defaults, "__doc__": described.__doc__}
    for name, hint in hints.items():
        kind = typing.get_args(hint)[0] if typing.get_args(hint) else hint
        members[name] = _parameter(name, kind, getattr(described, name, None))
    return type(described.__name__, (_Wrapper,), members)


class _Wrapper:
    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        for name, value in self.defaults.items():  # as Slicer does, so that HasParameter tells a new node
            if not parameterNode.HasParameter(name):
                setattr(self, name, value)
        self._bound: dict = {}
        self._updating = False

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, ui):
        self._bound = {}
        for widget in vars(ui).values():
            name = widget.property(PROPERTY)
            if name:
                if name not in self.parameters:
                    raise ValueError(f"there is no parameter {name}")
                self._bound[name] = _bind(widget, self.parameters[name], lambda name=name: self._read(name))
        self._observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())
        self._show()
        return 1

    def disconnectGui(self, _tag):
        self.parameterNode.RemoveObserver(self._observer)
        self._bound = {}

    def _read(self, name):
        if not self._updating and name in self._bound:
            setattr(self, name, self._bound[name].read())

    def _show(self):
        if self._updating:
            return
        self._updating = True
        for name, binding in self._bound.items():
            binding.show(getattr(self, name))
        self._updating = False


def _bind(widget, hint, changed) -> types.SimpleNamespace:
    """How to read, show and follow one widget."""
    kind = type(widget).__name__
    if kind == "qMRMLNodeComboBox":
        widget.currentNodeChanged.connect(lambda *_: changed())
        return types.SimpleNamespace(read=widget.currentNode, show=widget.setCurrentNode)
    if kind == "QCheckBox":
        widget.stateChanged.connect(lambda *_: changed())
        return types.SimpleNamespace(
            read=lambda: widget.checked, show=lambda value: setattr(widget, "checked", bool(value))
        )
    if kind == "ctkSliderWidget":
        bounds = typing.get_args(hint)[1]
        widget.minimum, widget.maximum = bounds.minimum, bounds.maximum
        widget.valueChanged.connect(lambda *_: changed())
        return types.SimpleNamespace(read=lambda: widget.value, show=lambda value: setattr(widget, "value", value))
    if kind == "QComboBox":
        choices = typing.get_args(hint)[1].choices
        widget.addItems([str(choice) for choice in choices])
        widget.currentIndexChanged.connect(lambda *_: changed())
        return types.SimpleNamespace(
            read=lambda: choices[widget.currentIndex], show=lambda value: widget.setCurrentIndex(choices.index(value))
        )
    raise RuntimeError(f"a {kind} cannot be bound to a parameter")
