"""A batch in the application: it holds the worker, and belongs to the scene that is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
import vtk

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table
from MultiTaskSegLib.typed_error import typed_errors


class BatchRun:
    """A batch that is under way. Closing the scene cancels it, and what it found goes with the scene.

    Attributes:
        job: the batch, which is polled as a single job is.
    """

    def __init__(self, runner: JobRunner, items: Callable[[Lease], Sequence[BatchItem]]) -> None:
        """Nothing is started before the first ``job.poll()``, but the worker is held from now on.

        Args:
            runner: whose worker to use.
            items: makes what is to be done, with the lease that its jobs need.

        Raises:
            UsageError: another run is under way.
            MtsError: as ``items``; the worker is not held then.
        """
        self._scene = slicer.mrmlScene
        self._is_scene_closed = False
        self._lease = runner.hold()
        try:
            with typed_errors():
                self.job = Batch(items(self._lease), ended=self._let_go)
        except BaseException:
            self._lease.release()
            raise
        self._tag: int | None = self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._on_scene_close)

    @property
    def rows(self) -> list[BatchRow]:
        """One per image that is through."""
        return self.job.rows

    def end(self, reason: str = "the batch was cancelled") -> None:
        """Cancel what still runs, let go of the worker and stop watching the scene. What is done stays.

        Where files are still being put in place, the scene is watched until they are.
        """
        self.job.cancel(reason)
        self._lease.release()
        if self.job.is_done:
            self._let_go()

    def add_table(self, name: str) -> slicer.vtkMRMLTableNode | None:
        """Put the rows into the scene as a table; None when the scene of the batch was closed."""
        return None if self._is_scene_closed else add_batch_table(self._scene, self.rows, name)

    def _let_go(self) -> None:
        self._lease.release()
        if self._tag is not None:
            self._scene.RemoveObserver(self._tag)
            self._tag = None

    def _on_scene_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self._is_scene_closed = True
        self.job.cancel("the batch was cancelled because the scene was closed", is_dropped=True)
        self._let_go()
        self.rows.clear()
