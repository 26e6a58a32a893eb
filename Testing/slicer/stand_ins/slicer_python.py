"""STAND-INS for the base classes of Slicer's scripted modules."""

from __future__ import annotations

import os
import unittest

import slicer


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
            node.SetAttribute("ModuleName", self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a self-test."""

    def runTest(self):
        """Replaced by the self-tests."""
