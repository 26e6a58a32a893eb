"""A job for a volume of the scene."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk

from MultiTaskSegLib.job import Job, JobResult, shared_runner
from MultiTaskSegLib.scene.earlier_result import require_choice
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.node.presence import require_present
from MultiTaskSegLib.scene.result import RunNotes, SegmentationResult, add_result
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.typed_error import typed_errors


class SceneRun:
    """Ties a job to its volume: closing the scene or removing the volume cancels the job."""

    def __init__(self, volume_node: slicer.vtkMRMLScalarVolumeNode, job: Job, notes: RunNotes | None = None) -> None:
        self.volume_node = volume_node
        self.job = job
        self.notes = notes or RunNotes()
        self._scene = volume_node.GetScene()
        events = {
            slicer.vtkMRMLScene.StartCloseEvent: self._on_scene_close,
            slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent: self._on_node_removal,
        }
        self._observer_tags = [self._scene.AddObserver(event, callback) for event, callback in events.items()]

    def result(self) -> JobResult:
        """What the finished job brought back; the run is over then.

        Raises:
            Cancelled: the user, the closing of the scene or the removal of the volume ended the run.
            MtsError: the job failed.
        """
        self.end()
        return self.job.result()

    def end(self, reason: str = "the run was cancelled") -> None:
        """Cancel the job if it still runs, and stop watching the scene."""
        self.job.cancel(reason)
        for tag in self._observer_tags:
            self._scene.RemoveObserver(tag)
        self._observer_tags = []

    def _on_scene_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.end("the run was cancelled because the scene was closed")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removal(self, _caller: vtk.vtkObject, _event: str, node: vtk.vtkObject) -> None:
        if node is self.volume_node:
            self.end(f"the run was cancelled because the volume '{self.volume_node.GetName()}' was removed")


@typed_errors()
def start_segmentation(
    volume_node: slicer.vtkMRMLScalarVolumeNode, task: str, model: str | Path | None, device: str, existing: str
) -> SceneRun:
    """Start to segment a volume, with a note of what it is now.

    Raises:
        InputError: the volume cannot be segmented (label map, several values per voxel, non-linear transform ...).
        UsageError: another run is under way, or ``existing`` is neither ``keep`` nor ``replace``.
        ResourceError: the worker cannot be started.
    """
    require_choice(existing)
    image = image_from_node(volume_node)
    require_present(volume_node)
    asked = {"task": task, "model": str(model or ""), "device": device}
    notes = RunNotes(asked, existing, ImageRecord.of(volume_node))
    return SceneRun(volume_node, shared_runner().segment(image, task=task, model=model, device=device), notes)


@typed_errors()
def finish_segmentation(run: SceneRun) -> SegmentationResult:
    """Add the result of a finished run to the scene.

    Raises:
        InputError: the volume was removed after the run had ended, or as `add_result`.
        MtsError: what the run failed with.
    """
    found = run.result()
    require_present(run.volume_node)
    return add_result(run.volume_node, found, run.notes)
