"""A real MRML scene for the rows that need one, and Slicer's own reader of image files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import slicer
import vtk

from Testing.slicer.mrml_session import MrmlSession


@cache
def opened_scene() -> MrmlSession:
    """One for the whole process."""
    return MrmlSession()


def read_by_slicer(path: Path) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume that Slicer's own storage node makes of a file; None where it refuses it."""
    if not os.path.isfile(path):
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.name)
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)
    if not _quietly(storage.ReadData, node):
        slicer.mrmlScene.RemoveNode(node)
        return None
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def _quietly(read: Callable[[object], int], node: object) -> int:
    """Refusals are expected here: nobody needs VTK's many lines about each."""
    level = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        return read(node)
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()
        vtk.vtkLogger.SetStderrVerbosity(level)
