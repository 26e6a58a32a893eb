"""Many checks, one after the other on the one loaded model, watched and cancelled like a single one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import slicer
import vtk

from MultiTaskSegLib.batch import Batch, BatchItem, poll_to_the_end
from MultiTaskSegLib.job import Job
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, MtsError, ResourceError
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from OODCheckLib.image_item import ImageItem

FAILURES_IN_A_ROW = 2  # of the worker itself: it will not do better on the next image


@dataclass(frozen=True)
class CheckedImage:
    """The outcome for one image.

    Attributes:
        item: which image.
        verdict: None where it could not be checked.
        message: why not; else empty.
    """

    item: ImageItem
    verdict: Verdict | None
    message: str = ""


class CheckBatch:
    """A batch of checks. ``job`` is the batch itself, which is polled as a single job is.

    An image that cannot be checked gets a line with the reason and the next one follows. Cancelling, closing the scene,
    a model that cannot be used and a worker that fails twice in a row end the batch; what was found until then stays,
    except that nothing goes from one scene into the next.

    Attributes:
        error: why the batch ended early, or None.
    """

    def __init__(
        self,
        items: Sequence[ImageItem],
        start: Callable[[ImageItem], Job],
        keep: Callable[[ImageItem, JobResult], Verdict],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with the first image at the first `poll`.

        Args:
            items: what to check.
            start: starts one check.
            keep: takes in what it brought back and returns the verdict.
            clock: seconds.
        """
        self.error: MtsError | None = None
        self._items, self._start, self._keep = list(items), start, keep
        self._verdicts: dict[int, Verdict] = {}
        self._failure: MtsError | None = None
        self._failures = 0
        self._current: Job | None = None
        self._batch = Batch([self._batch_item(number) for number in range(len(items))], clock)
        self._scene = slicer.mrmlScene
        self._observer_tag = self._scene.AddObserver(self._scene.StartCloseEvent, self._on_scene_close)

    @property
    def job(self) -> CheckBatch:
        """Itself."""
        return self

    @property
    def checked(self) -> list[CheckedImage]:
        """The images that are through, in their order."""
        rows = enumerate(self._batch.rows)
        return [CheckedImage(self._items[number], self._verdicts.get(number), row.error) for number, row in rows]

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return self._batch.fraction

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left, from the mean pace so far; None before anything is done."""
        return self._batch.eta_s

    @property
    def step(self) -> str:
        """Which image it is and what is done with it."""
        return self._batch.step

    def poll(self) -> bool:
        """Take in what is new and start the next check; whether the batch is over."""
        through = len(self._batch.rows)
        is_done = self._batch.poll()
        if len(self._batch.rows) > through:
            self._judge_worker(bool(self._batch.rows[-1].error))
        if is_done or self.error is not None:
            self.end()
            return True
        return False

    def wait(
        self,
        idle: Callable[[], object] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> None:
        """Block until all images are through; ``idle`` and ``progress`` are called meanwhile, about 20 times a second.

        Raises:
            MtsError: the batch ended early.
        """
        try:
            poll_to_the_end(self, idle, progress)
        finally:
            self.end()  # nothing to do unless the wait was cut short, also by Ctrl+C
        if self.error is not None:
            raise self.error

    def end(self, reason: str = "the check was cancelled") -> None:
        """Cancel what still runs, and stop watching the scene."""
        self._batch.cancel(reason)
        self.error = self.error or self._batch.error
        if self._observer_tag is not None:
            self._scene.RemoveObserver(self._observer_tag)
            self._observer_tag = None

    def _batch_item(self, number: int) -> BatchItem:
        item = self._items[number]

        def start() -> Job:
            """Start the check and remember it, for its error."""
            self._current, self._failure = None, None
            try:
                if item.node is not None and item.node.GetScene() is None:
                    raise InputError("the volume was removed", file=item.name)
                self._current = self._start(item)
            except MtsError as error:
                self._failure = error
                raise
            return self._current

        def keep(found: JobResult) -> None:
            """Take in the verdict."""
            if item.node is not None and item.node.GetScene() is None:
                raise InputError("the volume was removed", file=item.name)
            self._verdicts[number] = self._keep(item, found)

        return BatchItem(item.name, start, keep)

    def _judge_worker(self, has_failed: bool) -> None:
        """End the batch where the next image would fare no better."""
        error = self._failure or (self._current.error if self._current is not None else None)
        if not has_failed or error is None or isinstance(error, (InputError, Cancelled)):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW or not isinstance(error, ResourceError):
            self.error = error

    def _on_scene_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.end("the check was cancelled because the scene was closed")
        self._batch.rows.clear()
