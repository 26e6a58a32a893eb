"""A job for a volume of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
import vtk

from MultiTaskSegLib.job import Job, JobResult, shared_runner
from MultiTaskSegLib.scene.channel_nodes import Volumes, channel_nodes, require_all_present
from MultiTaskSegLib.scene.earlier_result import require_choice
from MultiTaskSegLib.scene.image_record import ImageRecord
from MultiTaskSegLib.scene.result import RunNotes, SegmentationResult, add_result
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.task_list import known_tasks
from MultiTaskSegLib.typed_error import typed_errors


class SceneRun:
    """Ties a job to its volumes: closing the scene or removing one of them cancels the job."""

    def __init__(self, volume_node: slicer.vtkMRMLScalarVolumeNode, job: Job, notes: RunNotes | None = None) -> None:
        """Watch the scene.

        Args:
            volume_node: the image, or its first channel; ``notes`` have the others.
            job: of the worker.
            notes: what was noted when it was started.
        """
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
        if node in (self.volume_node, *self.notes.further):
            self.end(f"the run was cancelled because the volume '{node.GetName()}' was removed")


@typed_errors()
def start_segmentation(
    volumes: Volumes,
    task: str,
    model: str | Path | None,
    device: str,
    existing: str,
    wish: Mapping[str, Any] | None = None,
) -> SceneRun:
    """Start to segment a volume, or several that are the channels of one image, with a note of what they are now.

    ``wish`` is what `wish_of` gives where not all of the image or of its structures is wanted.

    Raises:
        InputError: a volume cannot be segmented (label map, several values per voxel, non-linear transform ...), or
            there are more or fewer than the task takes.
        UsageError: another run is under way, ``existing`` is neither ``keep`` nor ``replace``, or the order of the
            channels cannot be told.
        ResourceError: the worker cannot be started.
    """
    require_choice(existing)
    first, *further = nodes = channel_nodes(volumes, known_tasks(model or None), task)
    images = [image_from_node(node) for node in nodes]
    require_all_present(nodes)
    asked = {"task": task, "model": str(model or ""), "device": device, **(wish or {})}
    notes = RunNotes(asked, existing, ImageRecord.of(first, further), further=tuple(further))
    job = shared_runner().segment(images[0], task=task, model=model, device=device, further=images[1:], wish=wish)
    return SceneRun(first, job, notes)


@typed_errors()
def finish_segmentation(run: SceneRun) -> SegmentationResult:
    """Add the result of a finished run to the scene.

    Raises:
        InputError: the volume was removed after the run had ended, or as `add_result`.
        MtsError: what the run failed with.
    """
    found = run.result()
    require_all_present((run.volume_node, *run.notes.further))
    return add_result(run.volume_node, found, run.notes)
