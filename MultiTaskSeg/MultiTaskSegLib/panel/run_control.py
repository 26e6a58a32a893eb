"""One button that starts and cancels, with progress in percent, the time left and the current step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.panel.summary import progress_text

POLL_INTERVAL_MS = 100
MS_PER_S = 1000.0


class Pollable(Protocol):
    """What is under way; `job.Job` is one."""

    fraction: float
    eta_s: float | None
    step: str

    def poll(self) -> bool:
        """Take in what is new; whether it is over. Never blocks."""


class Run(Protocol):
    """What a panel has started; `scene.run.SceneRun` is one."""

    job: Pollable

    def end(self) -> None:
        """Cancel what still runs and let go of everything."""


class RunControl:
    """Owns the run of a panel, its timer, the button and the progress display."""

    def __init__(
        self,
        button: Any,
        progress_bar: Any,
        progress_label: Any,
        title: str,
        finished: Callable[[Any], object],
    ) -> None:
        """Take over the widgets.

        Args:
            button: starts and cancels; the panel connects its signal and calls `cancel` while `is_running`.
            progress_bar: 0 to 100, visible during a run only.
            progress_label: says what is done and how long it will take.
            title: of the button while nothing runs.
            finished: is called with the run when it is over, also when it failed or was cancelled.
        """
        self._button, self._bar, self._label, self._title = button, progress_bar, progress_label, title
        self._finished = finished
        self._run: Run | None = None
        self._began_s = 0.0
        self._is_preparing = self._can_start = False
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_INTERVAL_MS)
        self.timer.connect("timeout()", self._on_timeout)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Show that something is going on while a run is being prepared, which may take seconds the first time."""
        self._is_preparing = True
        self._bar.setRange(0, 0)  # moves without saying how far it is
        self._label.text = _("Trying PyTorch ...")
        self.show(self._can_start)
        try:
            yield
        finally:
            self._is_preparing = False
            self._bar.setRange(0, 100)
            self.show(self._can_start)

    def watch(self, run: Run) -> None:
        """Show the progress of a run until it is over."""
        self._run, self._began_s = run, time.monotonic()
        self._bar.value = 0
        self._label.text = ""
        self.timer.start()
        self.show(True)

    def cancel(self) -> None:
        """End the run under way, for a click on the button; `finished` is called as for any other end.

        The second click of a double click that started the run is none, nor is one that waited while it was prepared.
        """
        is_stray = MS_PER_S * (time.monotonic() - self._began_s) < slicer.app.doubleClickInterval
        if self._run is not None and not is_stray:
            self._run.end()
            self._on_timeout()

    def release(self) -> None:
        """The panel is about to go: end the run without a word."""
        self.timer.stop()
        run, self._run = self._run, None
        if run is not None:
            run.end()

    def show(self, can_start: bool) -> None:
        """Bring the widgets up to date; ``can_start`` is whether a run could be started now."""
        self._can_start = can_start
        is_taken = not self.is_running and shared_runner().is_busy
        if is_taken:  # by another panel
            self.timer.start()  # to see when the worker is free again
        self._button.text = _("Cancel") if self.is_running else self._title
        self._button.enabled = self.is_running or (can_start and not is_taken and not self._is_preparing)
        is_busy = self.is_running or self._is_preparing
        self._bar.visible = is_busy
        self._label.visible = is_busy

    def _on_timeout(self) -> None:
        if self._run is None:
            self.timer.stop()
            self.show(self._can_start)
            return
        job = self._run.job
        if not job.poll():
            self._bar.value = round(100 * job.fraction)
            self._label.text = progress_text(job.fraction, job.eta_s, job.step)
            return
        self.timer.stop()
        run, self._run = self._run, None
        self.show(True)  # before anything that may fail
        self._finished(run)
