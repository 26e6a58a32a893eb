"""What is added to a scene is added as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def all_or_nothing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Remove again whatever came into the scene within the block, when the block fails."""
    added: list[slicer.vtkMRMLNode] = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def note(_caller: vtk.vtkObject, _event: str, node: vtk.vtkObject) -> None:
        """Remember a node that came in."""
        added.append(node)

    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, note)
    try:
        yield
    except BaseException:
        for node in reversed(added):
            if scene.IsNodePresent(node) and not node.GetSingletonTag():
                scene.RemoveNode(node)
        raise
    finally:
        scene.RemoveObserver(tag)
