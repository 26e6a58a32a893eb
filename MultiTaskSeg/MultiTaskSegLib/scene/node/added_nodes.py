"""What is added to a scene is added as a whole, or not at all, or only for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def all_or_nothing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Remove again whatever came into the scene within the block, when the block fails."""
    with _noted(scene) as added:
        try:
            yield
        except BaseException:
            _remove(scene, added)
            raise


@contextmanager
def passing(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Remove again whatever came into the scene within the block, in any case."""
    with _noted(scene) as added:
        try:
            yield
        finally:
            _remove(scene, added)


@contextmanager
def _noted(scene: slicer.vtkMRMLScene) -> Iterator[list[slicer.vtkMRMLNode]]:
    added: list[slicer.vtkMRMLNode] = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def note(_caller: vtk.vtkObject, _event: str, node: vtk.vtkObject) -> None:
        """Remember a node that came in."""
        added.append(node)

    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, note)
    try:
        yield added
    finally:
        scene.RemoveObserver(tag)


def _remove(scene: slicer.vtkMRMLScene, added: list[slicer.vtkMRMLNode]) -> None:
    for node in reversed(added):
        if scene.IsNodePresent(node) and not node.GetSingletonTag():
            scene.RemoveNode(node)
