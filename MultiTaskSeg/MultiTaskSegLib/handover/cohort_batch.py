"""A cohort in the place of a batch: watched by the panel, its table put into the scene when it is over."""

from __future__ import annotations

import slicer

from MultiTaskSegLib.handover.cohort_process import CohortProcess, CohortRequest
from MultiTaskSegLib.handover.cohort_rows import PAGE, TABLE, cohort_rows
from MultiTaskSegLib.scene.batch.batch_table import add_batch_table
from MultiTaskSegLib.scene.batch.scene_batch import BatchResult
from MultiTaskSegLib.typed_error import typed

TABLE_NAME = "MultiTaskSeg cohort"


class CohortBatch:
    """Runs as `scene_batch.SceneBatch` does, but in a process of its own, and leaves results on the disk alone.

    Attributes:
        job: the process.
    """

    def __init__(self, request: CohortRequest) -> None:
        """Start it.

        Raises:
            ResourceError: the process cannot be started.
        """
        self.job = CohortProcess(request)
        self._output = request.output
        table = request.output / TABLE
        self._before = table.stat().st_mtime_ns if table.is_file() else 0

    def end(self) -> None:
        """Ask it to end; what is done stays."""
        self.job.end()

    def finish(self) -> BatchResult:
        """Put its table into the scene, also when it was ended early; one that wrote none leaves none."""
        table = self._output / TABLE
        if not table.is_file() or table.stat().st_mtime_ns == self._before:
            return BatchResult([], None)
        page = self._output / PAGE
        try:
            rows = cohort_rows(self._output)
            node = add_batch_table(slicer.mrmlScene, rows, TABLE_NAME)
        except Exception as error:  # whatever it is, the panel says it, and the files are there
            self.job.error = self.job.error or typed(error)
            return BatchResult([], None, page=page if page.is_file() else None)
        return BatchResult(rows, node, page=page if page.is_file() else None)
