"""Runs segmentations and checks in one worker process, without ever blocking or endangering the caller.

Torch lives in the worker only. A :class:`Job` is polled (from a timer in a GUI) or waited for (in scripts). Cancelling
ends the worker with everything it started; the next job starts a new one.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import queue
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.job_result import JobResult, result_of
from MultiTaskSegLib.runtime import errors
from MultiTaskSegLib.runtime.volume import Volume
from MultiTaskSegLib.worker_process import WorkerProcess

POLL_INTERVAL_S = 0.05


class Job:
    """One request under way. ``fraction``, ``eta_s`` and ``step`` are current after every :meth:`poll`."""

    def __init__(self, worker: WorkerProcess, number: int, folder: Path, destination: Path | None = None) -> None:
        self.fraction = 0.0
        self.eta_s: float | None = None
        self.step = "starting"
        self.error: errors.MtsError | None = None
        self._worker = worker
        self._number = number
        self._folder = folder
        self._destination = destination
        self._result: JobResult | None = None

    @property
    def is_done(self) -> bool:
        """Whether a result or an error is there."""
        return self._result is not None or self.error is not None

    def poll(self) -> bool:
        """Take in what the worker has sent so far; whether the job is done. Never blocks."""
        while not self.is_done:
            try:
                event = self._worker.events.get_nowait()
            except queue.Empty:
                if not self._worker.is_silenced:
                    break
                event = None
            self._take(event)
        return self.is_done

    def _take(self, event: dict[str, Any] | None) -> None:
        if event is None:
            self._fail(self._worker.death_notice(self.step))
            self._worker.end()
        elif event.get("id") not in (self._number, None):
            return  # an event of an earlier job
        elif event["event"] == "progress":
            self.fraction, self.eta_s, self.step = event["fraction"], event["eta_s"], event["step"]
        elif event["event"] == "error":
            self._fail(error_from(event))
        elif event["event"] == "result":
            self._finish(event)

    def _fail(self, error: errors.MtsError) -> None:
        self.error = error
        shutil.rmtree(self._folder, ignore_errors=True)

    def _finish(self, event: dict[str, Any]) -> None:
        try:
            self._result = result_of(event, self._destination)
        except errors.MtsError as error:
            self._fail(error)
            return
        self.fraction, self.eta_s = 1.0, 0.0
        shutil.rmtree(self._folder, ignore_errors=True)

    def result(self) -> JobResult:
        """What the finished job brought back.

        Raises:
            MtsError: the job failed, was cancelled (``Cancelled``), or is not done yet (``UsageError``).
        """
        if self.error is not None:
            raise self.error
        if self._result is None:
            raise errors.UsageError("the job is still running", remedy="Call wait() first")
        return self._result

    def wait(self, timeout_s: float | None = None, idle: Callable[[], object] | None = None) -> JobResult:
        """Block until the job is done and return its result; ``idle`` is called meanwhile, about 20 times a second.

        Raises:
            ResourceError: ``timeout_s`` seconds were not enough; the job is cancelled.
            MtsError: the job failed.
        """
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        try:
            while not self.poll():
                if time.monotonic() > deadline:
                    raise errors.ResourceError(f"there was no answer within {timeout_s:g} s", remedy="Allow more time")
                if idle is not None:
                    idle()
                time.sleep(POLL_INTERVAL_S)
        finally:
            self.cancel()  # nothing to do unless the wait was cut short, also by Ctrl+C
        return self.result()

    def cancel(self, reason: str = "the run was cancelled") -> None:
        """End the worker with everything it started and remove its files. Harmless when the job is done."""
        if not self.is_done:
            self._fail(errors.Cancelled(reason))
            self._worker.end()


class JobRunner:
    """Starts jobs, one at a time, in a worker that stays alive between them."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._worker: WorkerProcess | None = None
        self._job: Job | None = None
        self._numbers = itertools.count(1)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._job is not None and not self._job.poll()

    def segment(
        self, volume: Volume, *, task: str = "auto", model: str | Path | None = None, device: str = "auto"
    ) -> Job:
        """Start to segment ``volume``; ``model`` None is the released default.

        Raises:
            UsageError: another job is running.
            ResourceError: the worker cannot be started or the disk is full.
        """
        return self._start("segment", volume, model, device, {"task": task})

    def check(
        self, volume: Volume, *, model: str | Path | None = None, device: str = "auto", with_map: bool = False
    ) -> Job:
        """Start to check whether ``volume`` is like the training images, and with a map where not.

        Raises as :meth:`segment`.
        """
        return self._start("check", volume, model, device, {"map": with_map})

    def segment_file(
        self,
        image: str | Path,
        output: str | Path,
        *,
        task: str = "auto",
        model: str | Path | None = None,
        device: str = "auto",
    ) -> Job:
        """Start to segment an image file or a DICOM folder; the worker reads it and the results go to ``output``.

        The files are those of ``multitaskseg segment``; all are put in place at the end, or none. Raises as
        :meth:`segment`.
        """
        options = {"task": task, "image": str(Path(image).resolve()), "write": True}
        return self._start("segment", None, model, device, options, Path(output).resolve())

    def check_file(self, image: str | Path, *, model: str | Path | None = None, device: str = "auto") -> Job:
        """Start to check an image file or a DICOM folder, which the worker reads. Raises as :meth:`segment`."""
        return self._start("check", None, model, device, {"image": str(Path(image).resolve())})

    def devices(self) -> Job:
        """Start to look which devices there are and how much of their memory is free. Raises as :meth:`segment`."""
        return self._start("devices", None, None, "auto", {})

    def info(self, *, model: str | Path | None = None, planar: bool = False) -> Job:
        """Start to read which tasks the model has. Raises as :meth:`segment`."""
        return self._start("info", None, model, "auto", {"planar": planar})

    def _start(
        self,
        command: str,
        volume: Volume | None,
        model: str | Path | None,
        device: str,
        options: dict[str, Any],
        destination: Path | None = None,
    ) -> Job:
        if self.is_busy:
            raise errors.UsageError("another run is under way", remedy="Wait for it or cancel it first")
        if self._worker is None or not self._worker.is_alive:
            self.close()
            self._worker = WorkerProcess(self._command)
        number = next(self._numbers)
        folder = self._worker.folder / str(number)
        request = {"id": number, "command": command, "model": None if model is None else str(Path(model).resolve())}
        if volume is not None:
            request.update(write_volume(volume, folder))
        self._job = Job(self._worker, number, folder, destination)
        self._worker.send({**request, "device": device, "output": str(folder), **options})
        return self._job

    def close(self) -> None:
        """End the worker; a running job counts as cancelled. The next job starts a new worker."""
        if self._job is not None:
            self._job.cancel()
        if self._worker is not None:
            self._worker.end()
        self._job = self._worker = None


def write_volume(volume: Volume, folder: Path) -> dict[str, Any]:
    """Write the voxels to ``folder`` and return the part of the request that describes them.

    Raises:
        ResourceError: the temporary folder cannot be written or the disk is full.
    """
    path = folder / "voxels.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, volume.voxels)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = "the disk is full" if error.errno == errno.ENOSPC else f"the voxels cannot be written ({error})"
        raise errors.ResourceError(what, file=path, remedy="Free space in the temporary folder") from error
    return {"voxels": str(path), "ijk_to_ras": volume.ijk_to_ras.tolist(), "name": volume.name}


def error_from(event: dict[str, Any]) -> errors.MtsError:
    """The typed error of an error event."""
    kind = getattr(errors, str(event.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.MtsError)):
        kind = errors.MtsError
    return kind(str(event.get("message", "the worker reported an error without a message")))


_shared: JobRunner | None = None


def shared_runner() -> JobRunner:
    """The one runner of this session, so that all modules share one worker and one loaded model."""
    global _shared
    if _shared is None:
        _shared = JobRunner()
        atexit.register(_shared.close)
    return _shared
