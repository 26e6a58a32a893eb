"""Puts both modules into the menu of a volume in the subject hierarchy."""

from __future__ import annotations

from pathlib import Path

import slicer

PLUGIN_NAME = "MultiTaskSeg"
PLUGIN_CLASS = "MultiTaskSegSubjectHierarchyPlugin"  # Slicer wants the file and the class in it to be named alike


def register_menu() -> bool:
    """Register the plugin with Slicer, once; whether it was new. For when the application has started."""
    if hasattr(slicer, PLUGIN_CLASS):  # where Slicer keeps the object that it has made
        return False
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    return bool(plugin.setPythonSource(str(Path(__file__).with_name(f"{PLUGIN_CLASS}.py"))))
