"""Many checks, one after the other on the one loaded model, watched and cancelled like a single one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from MultiTaskSegLib.batch import Batch, BatchItem, BatchRow
from MultiTaskSegLib.job import Job, JobRunner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.scene.batch.batch_run import BatchRun
from MultiTaskSegLib.scene.node.presence import require_present
from MultiTaskSegLib.scene.result import RunNotes
from OODCheckLib.image_item import ImageItem


class CheckBatch:
    """A batch of checks, of the same kind as a batch of segmentations: see `Batch` for what ends it early."""

    def __init__(
        self,
        images: Sequence[ImageItem],
        runner: JobRunner,
        start: Callable[[ImageItem, Lease], tuple[Job, RunNotes | None]],
        keep: Callable[[ImageItem, RunNotes | None, JobResult], None],
    ) -> None:
        """The first check starts at the first ``job.poll()``; the worker is held from now on.

        Args:
            images: what to check.
            runner: whose worker to use.
            start: starts one check; returns the job and what has to be remembered until it is over.
            keep: takes in what it brought back.

        Raises:
            UsageError: another run is under way.
        """
        self._start, self._keep = start, keep
        self._run = BatchRun(runner, lambda lease: [self._item(image, lease) for image in images])

    @property
    def job(self) -> Batch:
        """The batch, which is polled as a single job is."""
        return self._run.job

    @property
    def rows(self) -> list[BatchRow]:
        """What became of the images that are through, in their order; none when the scene was closed."""
        return self._run.rows

    def wait(
        self, idle: Callable[[], object] | None = None, progress: Callable[[float, str], object] | None = None
    ) -> list[BatchRow]:
        """Block until all images are through and return the rows; see `Batch.wait`. Raises as that does."""
        try:
            self.job.wait(idle, progress)
        finally:
            self.end()
        return self.rows

    def end(self, reason: str = "the check was cancelled") -> None:
        """Cancel what still runs, and stop watching the scene. What is done stays."""
        self._run.end(reason)

    def _item(self, image: ImageItem, lease: Lease) -> BatchItem:
        noted: list[RunNotes | None] = []

        def start() -> Job:
            """Start the check, with a note of what is checked."""
            if image.path is None:
                require_present(image.node)
            job, note = self._start(image, lease)
            noted[:] = [note]
            return job

        def keep(found: JobResult) -> None:
            """Take in the verdict."""
            if image.path is None:
                require_present(image.node)
            self._keep(image, noted[0], found)

        file, volume_id = str(image.path or ""), "" if image.node is None else image.node.GetID() or ""
        return BatchItem(image.name, start, keep, file, volume_id)
