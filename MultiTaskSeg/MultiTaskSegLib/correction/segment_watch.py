"""Notices when segments of results are changed, by whatever module, and has them marked soon after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from MultiTaskSegLib.correction.corrected_segment import mark_corrections, results_in
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.comparison.reference import clear_outdated_comparison, compared_with, is_compared
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE

EVENTS = (slicer.vtkSegmentation.SourceRepresentationModified, slicer.vtkSegmentation.SegmentRemoved)
MOVED = slicer.vtkMRMLTransformableNode.TransformModifiedEvent


class SegmentWatch:
    """Watches all results of a scene; events say that something was changed, and comparing voxels tells what.

    Several strokes of a brush in a row are compared once. Results that come with a scene are compared as well: somebody
    may have edited them where nobody watched.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, later: Callable[[Callable[[], None]], object]) -> None:
        """Begin to watch.

        Args:
            scene: whose results are watched, those that come later, too.
            later: calls a function after a pause in which the user goes on; `qt.QTimer` does in Slicer.
        """
        self._scene, self._later = scene, later
        self._changed: set[str] = set()
        self._compared: set[str] = set()  # results of which a comparison may not hold any more
        self._is_waiting = False
        self._told: list[Callable[[], object]] = []
        self._tags: list[tuple[Any, int]] = []
        for event, react in (
            (scene.NodeAddedEvent, self._on_added),
            (scene.NodeRemovedEvent, self._on_removed),
            (scene.EndImportEvent, self._on_import),
        ):
            self._tags.append((scene, scene.AddObserver(event, react)))
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene):
            self._observe(node)

    def tell(self, changed: Callable[[], object]) -> None:
        """Have a function called whenever marks may have changed."""
        self._told.append(changed)

    def forget(self, changed: Callable[[], object]) -> None:
        """Call it no more."""
        self._told = [other for other in self._told if other != changed]

    def update(self) -> None:
        """Mark what was changed since the last time."""
        self._is_waiting = False
        ids, self._changed = self._changed, set()
        compared, self._compared = self._compared, set()
        results = results_in(self._scene)
        for node in (node for node in results if node.GetID() in compared):
            clear_outdated_comparison(node)
        for node in (node for node in results if node.GetID() in ids):
            try:
                mark_corrections(node)
            except MtsError:
                # Under a transform that is not linear nothing can be compared; it is tried again at the next change,
                # and whoever needs the answer (the panel, the dataset) is told the reason.
                self._changed.add(node.GetID())
        if ids or compared:
            for told in self._told:
                told()

    def release(self) -> None:
        """Watch no more."""
        for watched, tag in self._tags:
            watched.RemoveObserver(tag)
        self._tags, self._told, self._changed, self._compared = [], [], set(), set()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: Any, _event: str, node: Any) -> None:
        if node is not None and node.IsA("vtkMRMLSegmentationNode"):
            self._observe(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _scene: Any, _event: str, node: Any) -> None:
        for watched, tag in [pair for pair in self._tags if pair[0] is node]:
            watched.RemoveObserver(tag)
        self._tags = [pair for pair in self._tags if pair[0] is not node]

    def _on_import(self, *_event: Any) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", self._scene):
            self._on_changed(node, "")

    def _observe(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        for event in EVENTS:
            self._tags.append((node, node.AddObserver(event, self._on_changed)))
        self._tags.append((node, node.AddObserver(MOVED, self._on_moved)))

    def _on_changed(self, node: slicer.vtkMRMLSegmentationNode, _event: str) -> None:
        self._compared.update(result.GetID() for result in compared_with(node))
        if node.GetNodeReferenceID(INPUT_ROLE) is not None:  # else it is being made just now, or nobody's result
            self._changed.add(node.GetID())
        self._wait()

    def _on_moved(self, node: slicer.vtkMRMLSegmentationNode, _event: str) -> None:
        self._compared.update(result.GetID() for result in compared_with(node))
        if is_compared(node):
            self._compared.add(node.GetID())
        self._wait()

    def _wait(self) -> None:
        if (self._changed or self._compared) and not self._is_waiting:
            self._is_waiting = True
            self._later(self.update)
