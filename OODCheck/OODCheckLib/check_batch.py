"""Many checks, one after the other on the one loaded model, watched and cancelled like a single one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import slicer
import vtk
from slicer.i18n import tr as _

from MultiTaskSegLib.job import POLL_INTERVAL_S, Job, JobResult
from MultiTaskSegLib.runtime.errors import Cancelled, InputError, MtsError, ResourceError
from MultiTaskSegLib.runtime.verdict import Verdict
from OODCheckLib.image_item import ImageItem

FAILURES_IN_A_ROW = 2  # of the worker itself: it will not do better on the next image


class Run(Protocol):
    """One check under way; `scene.run.SceneRun` is one."""

    job: Job

    def result(self) -> JobResult:
        """What it brought back; raises what it failed with."""

    def end(self, reason: str = ...) -> None:
        """Cancel it if it still runs."""


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
    """Checks images one after the other. ``job`` is the batch itself, which is polled as a single job is.

    An image that cannot be checked gets a line with the reason and the next one follows. Cancelling, closing the scene
    and a worker that fails twice in a row end the batch; what was found until then stays.
    """

    def __init__(
        self,
        items: Sequence[ImageItem],
        start: Callable[[ImageItem], Run],
        finish: Callable[[Any], Verdict],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with the first image at the first `poll`.

        Args:
            items: what to check.
            start: starts one check.
            finish: takes in the result of a finished one and returns the verdict.
            clock: seconds.
        """
        self.checked: list[CheckedImage] = []
        self.error: MtsError | None = None
        self._items, self._start, self._finish, self._clock = list(items), start, finish, clock
        self._run: Run | None = None
        self._began_s = clock()
        self._failures = 0
        self._scene = slicer.mrmlScene
        self._observer_tag = self._scene.AddObserver(self._scene.StartCloseEvent, self._on_scene_close)

    @property
    def job(self) -> CheckBatch:
        """Itself."""
        return self

    @property
    def is_done(self) -> bool:
        """Whether all images are through, or the batch has ended early."""
        return self.error is not None or len(self.checked) == len(self._items)

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        within = 0.0 if self._run is None else self._run.job.fraction
        return (len(self.checked) + within) / len(self._items)

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left, from the mean pace so far; None before anything is done."""
        fraction = self.fraction
        return (self._clock() - self._began_s) * (1.0 - fraction) / fraction if fraction > 0.0 else None

    @property
    def step(self) -> str:
        """What is going on."""
        number = min(len(self.checked) + 1, len(self._items))
        step = "" if self._run is None else self._run.job.step
        return _("image {number} of {total}, {step}").format(number=number, total=len(self._items), step=step)

    def poll(self) -> bool:
        """Take in what is new and start the next check; whether the batch is over."""
        if not self.is_done:
            if self._run is None:
                self._begin(self._items[len(self.checked)])
            elif self._run.job.poll():
                self._take(self._items[len(self.checked)], self._run)
        if self.is_done:
            self.end()
        return self.is_done

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
            while not self.poll():
                if progress is not None:
                    progress(self.fraction, self.step)
                if idle is not None:
                    idle()
                time.sleep(POLL_INTERVAL_S)
        finally:
            self.end()  # nothing to do unless the wait was cut short, also by Ctrl+C
        if self.error is not None:
            raise self.error

    def end(self, reason: str = "the check was cancelled") -> None:
        """Cancel what still runs, and stop watching the scene."""
        if not self.is_done:
            self.error = Cancelled(reason)
        run, self._run = self._run, None
        if run is not None:
            run.end(reason)
        if self._observer_tag is not None:
            self._scene.RemoveObserver(self._observer_tag)
            self._observer_tag = None

    def _begin(self, item: ImageItem) -> None:
        try:
            if item.node is not None and item.node.GetScene() is None:
                raise InputError("the volume was removed", file=item.name)
            self._run = self._start(item)
        except MtsError as error:
            self._note_failure(item, error)

    def _take(self, item: ImageItem, run: Run) -> None:
        self._run = None
        try:
            verdict = self._finish(run)
        except MtsError as error:
            self._note_failure(item, error)
        else:
            self._failures = 0
            self.checked.append(CheckedImage(item, verdict))
        finally:
            run.end()

    def _note_failure(self, item: ImageItem, error: MtsError) -> None:
        # A run that was cancelled without the batch being cancelled lost its volume, and only that.
        concerns_image_only = isinstance(error, (InputError, Cancelled))
        self._failures = 0 if concerns_image_only else self._failures + 1
        self.checked.append(CheckedImage(item, None, str(error)))
        if not concerns_image_only and (self._failures >= FAILURES_IN_A_ROW or not isinstance(error, ResourceError)):
            self.error = error

    def _on_scene_close(self, _caller: vtk.vtkObject, _event: str) -> None:
        self.end("the check was cancelled because the scene was closed")
        self.checked.clear()  # nothing goes into the next scene
