"""Runs segmentations and checks in one worker process, without ever blocking or endangering the caller.

Torch lives in the worker only. A :class:`Job` is polled (from a timer in a GUI) or waited for (in scripts); voxels are
written and read in the background meanwhile. Cancelling ends the worker with everything it started; the next job starts
a new one.
"""

from __future__ import annotations

import atexit
import itertools
import queue
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from MultiTaskSegLib.background_call import BackgroundCall, Stop
from MultiTaskSegLib.job_result import JobResult, result_of
from MultiTaskSegLib.lease import Lease
from MultiTaskSegLib.runtime import errors
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_folder import ENDING
from MultiTaskSegLib.typed_error import typed
from MultiTaskSegLib.volume_file import write_volume
from MultiTaskSegLib.worker_process import WorkerProcess

POLL_INTERVAL_S = 0.05
COLLECTING = "collecting the result"


class Job:
    """One request under way. ``fraction``, ``eta_s`` and ``step`` are current after every :meth:`poll`."""

    def __init__(
        self,
        worker: WorkerProcess,
        number: int,
        folder: Path,
        destination: Callable[[], Path] | None = None,
        ended: Callable[[Job], object] = lambda job: None,
    ) -> None:
        """Of the runner; ``ended`` is called once there is a result or an error."""
        self.fraction = 0.0
        self.eta_s: float | None = None
        self.step = "starting"
        self.error: errors.MtsError | None = None
        self._worker = worker
        self._number = number
        self._folder = folder
        self._destination = destination
        self._ended = ended
        self._result: JobResult | None = None
        self._sending: BackgroundCall | None = None
        self._collecting: BackgroundCall | None = None

    def send(self, request: dict[str, Any], volumes: Sequence[Volume] = ()) -> None:
        """Send the request to the worker, with the volumes (the channels of an image) once their voxels are written."""
        if not volumes:
            self._worker.send(request)
            return

        def hand_over(stop: threading.Event) -> None:
            """The voxels first, then the request that names them."""
            described = write_volume(volumes[0], self._folder, stop)
            further = [
                write_volume(volume, self._folder, stop, f"further{number}")
                for number, volume in enumerate(volumes[1:], 1)
            ]
            if not stop.is_set():
                self._worker.send({**request, **described, **({"further": further} if further else {})})

        self._sending = BackgroundCall(hand_over)

    @property
    def is_done(self) -> bool:
        """Whether a result or an error is there."""
        return self._result is not None or self.error is not None

    def poll(self) -> bool:
        """Take in what the worker has sent so far; whether the job is done. Never blocks."""
        time.sleep(0)  # lets other threads run, also where the application holds the interpreter between two polls
        while not self.is_done:
            if self._collecting is not None:
                if not self._collecting.is_done:
                    break
                self._finish(self._collecting)
            elif self._sending is not None and self._sending.is_done:
                self._sent(self._sending)
            elif not self._take_next():
                break
        return self.is_done

    def _take_next(self) -> bool:
        """Take in the next event; whether there was one, or the end of the worker."""
        try:
            event = self._worker.events.get_nowait()
        except queue.Empty:
            if not self._worker.is_silenced:
                return False
            event = None
        self._take(event)
        return True

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
            self.step = COLLECTING
            self._collecting = BackgroundCall(lambda stop: self._collect(event, stop))

    def _collect(self, event: dict[str, Any], stop: Stop) -> JobResult:
        found = result_of(event, self._destination, stop.settle)
        shutil.rmtree(self._folder, ignore_errors=True)  # takes its time for large files
        return found

    def _fail(self, error: errors.MtsError) -> None:
        self.error = error
        if self._sending is not None:
            self._sending.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ended(self)

    def _sent(self, sending: BackgroundCall) -> None:
        self._sending = None
        try:
            sending.outcome()
        except Exception as error:
            self._fail(typed(error))

    def _finish(self, collecting: BackgroundCall) -> None:
        try:
            self._result = collecting.outcome()
        except Exception as error:
            self._fail(typed(error))
            return
        self.fraction, self.eta_s = 1.0, 0.0
        self._ended(self)

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
            ResourceError: ``timeout_s`` seconds were not enough; the job is cancelled. Where its files are being put in
                place it is waited for.
            MtsError: the job failed.
        """
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        try:
            while not self.poll():
                if time.monotonic() > deadline:
                    self.cancel()
                    if isinstance(self.error, errors.Cancelled):
                        why = f"there was no answer within {timeout_s:g} s"
                        raise errors.ResourceError(why, remedy="Allow more time")
                    deadline = float("inf")
                    continue
                if idle is not None:
                    idle()
                time.sleep(POLL_INTERVAL_S)
        finally:
            self.cancel()  # nothing to do unless the wait was cut short, also by Ctrl+C
        return self.result()

    def cancel(self, reason: str = "the run was cancelled") -> None:
        """End the worker with everything it started and remove its files.

        Harmless when the job is done. Once its files are being put in place it counts as done, and has a result.
        """
        if not self.is_done and (self._collecting is None or self._collecting.stop()):
            self._fail(errors.Cancelled(reason))
            self._worker.end()
        self.poll()


class JobRunner:
    """Starts jobs, one at a time, in a worker that stays alive between them.

    Whoever wants several in a row holds a `Lease` meanwhile, which the others' jobs have to wait for. The runner keeps
    nothing of a job that is over: its arrays go with whoever asked for it.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._worker: WorkerProcess | None = None
        self._job: Job | None = None
        self._lease: weakref.ref[Lease] | None = None
        self._numbers = itertools.count(1)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running, or the worker is held for others."""
        return self._is_held_by_other(None) or (self._job is not None and not self._job.poll())

    def hold(self) -> Lease:
        """Keep the worker for jobs that are started with this lease, until it is released.

        Raises:
            UsageError: another run is under way.
        """
        self._require_free(None)
        lease = Lease(self._release)
        self._lease = weakref.ref(lease)
        return lease

    def _release(self, lease: Lease) -> None:
        if self._lease is not None and self._lease() is lease:
            self._lease = None

    def _is_held_by_other(self, lease: Lease | None) -> bool:
        holder = None if self._lease is None else self._lease()
        return holder is not None and holder is not lease

    def _require_free(self, lease: Lease | None) -> None:
        if self._is_held_by_other(lease) or (self._job is not None and not self._job.poll()):
            raise errors.UsageError("another run is under way", remedy="Wait for it or cancel it first")

    def segment(
        self,
        volume: Volume,
        *,
        task: str = "auto",
        model: str | Path | None = None,
        device: str = "auto",
        lease: Lease | None = None,
        further: Sequence[Volume] = (),
        wish: Mapping[str, Any] | None = None,
        with_thumbnail: bool = False,
    ) -> Job:
        """Start to segment ``volume``; ``model`` None is the released default, ``lease`` what `hold` gave.

        ``further`` are the other channels of the image in the model's order, each with a grid of its own; ``wish`` has
        ``region`` (see `Region.as_dict`), ``whole_check`` and ``structures`` where not all is wanted.
        ``with_thumbnail`` has a small picture drawn, too.

        Raises:
            UsageError: another job is running, or the worker is held for others.
            ResourceError: the worker cannot be started. A disk that is full is an error of the job.
        """
        options = {**(wish or {}), "task": task, "thumbnail": with_thumbnail}
        return self._start("segment", (volume, *further), model, device, options, lease=lease)

    def check(
        self,
        volume: Volume,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        with_map: bool = False,
        lease: Lease | None = None,
    ) -> Job:
        """Start to check whether ``volume`` is like the training images, and with a map where not.

        Raises as :meth:`segment`.
        """
        # Of one image after the other nobody wants labels next; of a single one often.
        options = {"map": with_map, "keep": lease is None}
        return self._start("check", (volume,), model, device, options, lease=lease)

    def segment_file(
        self,
        image: str | Path,
        output: str | Path | Callable[[], Path],
        *,
        task: str = "auto",
        model: str | Path | None = None,
        device: str = "auto",
        lease: Lease | None = None,
        wish: Mapping[str, Any] | None = None,
        with_thumbnail: bool = False,
    ) -> Job:
        """Start to segment an image file or a DICOM folder; the worker reads it and the results go to ``output``.

        The files are those of ``multitaskseg segment``; all are put in place at the end, or none. A callable is asked
        for the folder only then, in the background: somebody may work in it during the run. ``wish`` and
        ``with_thumbnail`` are those of :meth:`segment`. Raises as that.
        """
        asked = {"task": task, "image": str(Path(image).resolve()), "write": True, "thumbnail": with_thumbnail}
        options = {**(wish or {}), **asked}
        place = output if callable(output) else partial(Path, Path(output).resolve())
        return self._start("segment", (), model, device, options, place, lease=lease)

    def check_file(
        self,
        image: str | Path,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        lease: Lease | None = None,
    ) -> Job:
        """Start to check an image file or a DICOM folder, which the worker reads. Raises as :meth:`segment`."""
        return self._start("check", (), model, device, {"image": str(Path(image).resolve())}, lease=lease)

    def devices(self) -> Job:
        """Start to look which devices there are and how much of their memory is free. Raises as :meth:`segment`."""
        return self._start("devices", (), None, "auto", {})

    def info(self, *, model: str | Path | None = None, planar: bool = False) -> Job:
        """Start to read which tasks the model has. Raises as :meth:`segment`."""
        return self._start("info", (), model, "auto", {"planar": planar})

    def card(self, model: str | Path) -> Job:
        """Start to read a model file whole, for its card. Raises as :meth:`segment`."""
        return self._start("card", (), model, "auto", {})

    def trained_models(self, folder: str | Path) -> Job:
        """Start to look which models nnU-Net has left in a folder or zip file. Raises as :meth:`segment`."""
        return self._start("trained", (), None, "auto", {"folder": str(Path(folder).resolve())})

    def import_model(self, folder: str | Path, output: str | Path | Callable[[], Path], **choice: Any) -> Job:
        """Start to make a model file of one of them. Raises as :meth:`segment`.

        Args:
            folder: that it was found in.
            output: the file to write; put in place at the end, whole, or not at all. A callable is asked for it only
                then, in the background: somebody may take a name during the run.
            choice: ``configuration``, ``trainer``, ``plans`` and ``folds`` where there are several, ``licence`` and
                ``name``.
        """
        place = output if callable(output) else partial(Path, Path(output).resolve())
        file = f"model{ENDING}" if callable(output) else Path(output).resolve().name
        options = {"folder": str(Path(folder).resolve()), "file": file, **choice}
        return self._start("import", (), None, "auto", options, place)

    def _start(
        self,
        command: str,
        volumes: Sequence[Volume],
        model: str | Path | None,
        device: str,
        options: dict[str, Any],
        destination: Callable[[], Path] | None = None,
        lease: Lease | None = None,
    ) -> Job:
        self._require_free(lease)
        if self._worker is None or not self._worker.is_alive:
            self.close()
            self._worker = WorkerProcess(self._command)
        number = next(self._numbers)
        folder = self._worker.folder / str(number)
        request = {"id": number, "command": command, "model": None if model is None else str(Path(model).resolve())}
        self._job = job = Job(self._worker, number, folder, destination, self._let_go)
        job.send({**request, "device": device, "output": str(folder), **options}, volumes)
        return job

    def _let_go(self, job: Job) -> None:
        if self._job is job:
            self._job = None

    def close(self) -> None:
        """End the worker; a running job counts as cancelled. The next job starts a new worker."""
        if self._job is not None:
            self._job.cancel()
        if self._worker is not None:
            self._worker.end()
        self._worker = None


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
