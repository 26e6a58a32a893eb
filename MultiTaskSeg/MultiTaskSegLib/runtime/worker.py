"""Worker process: keeps one model loaded and answers requests as JSON lines over stdin and stdout.

``python -m MultiTaskSegLib.runtime.worker [SCRATCH]``. The parent writes one request per line and reads events;
voxels travel as ``.npy`` files in SCRATCH, a private folder that the worker removes should the parent die. stderr is
the log: everything that any library prints on stdout is sent there, so that the protocol stays clean.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import InputError, MtsError, UsageError, system_error_sentence
from MultiTaskSegLib.runtime.hosting.listed_runs import ListedRuns, Outcome
from MultiTaskSegLib.runtime.hosting.model_host import ModelHost
from MultiTaskSegLib.runtime.hosting.model_request import card_of, imported, models_in, task_facts
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.request_line import end, lines_of, requests
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine, TorchMachine, needed_packages
from MultiTaskSegLib.runtime.hosting.worker_request import Request, parsed_request, require_kinds
from MultiTaskSegLib.runtime.image.nonfinite import mend_nonfinite
from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS, Measured, Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory, memory_error

Event = dict[str, Any]
Send = Callable[[Event], None]
T = TypeVar("T")

PROGRESS_INTERVAL_S = 0.1


def read_volume(request: Request) -> Volume:
    """The image of a request, and on its grid the channels of ``further``, such entries in the model's order.

    Raises:
        InputError: as `read_channel`, or a channel does not overlap with the first one.
        UsageError: an entry of ``further`` is no object.
    """
    first, others = read_channel(request), request.get("further", [])
    if not others:
        return first
    if not all(isinstance(entry, dict) for entry in others):
        raise UsageError("an entry of further is no object", remedy="Give each channel voxels and ijk_to_ras, or image")
    for entry in others:
        require_kinds(entry)
    with needed_packages():
        from MultiTaskSegLib.runtime.image.channel_set import joined
    return joined([first, *(read_channel(entry) for entry in others)])


def read_channel(request: Request) -> Volume:
    """One channel: ``voxels`` names an ``.npy`` file ``(Z, Y, X)`` and ``ijk_to_ras`` is 4x4, or ``image``
    names an image file or a DICOM folder. With ``voxels``, ``warnings`` and ``measured`` are those of the `Volume`.

    Raises:
        InputError: the file is missing, is no array of real numbers or image, has too many voxels that are not finite,
            or does not describe one volume.
    """
    if "image" in request:
        with needed_packages():
            from MultiTaskSegLib.runtime.image.image_file import read_image
        return read_image(request["image"])
    name = request.get("name", "").encode("utf-8", "replace").decode("utf-8")
    told = tuple(str(warning) for warning in request.get("warnings", ()))
    measured = request.get("measured", "voxel")
    if measured not in get_args(Measured):
        raise UsageError(f"measured is {measured!r}", remedy=f"Use one of {', '.join(get_args(Measured))}")
    voxels, mended = mend_nonfinite(_load_voxels(Path(request["voxels"])), name)
    return Volume(voxels, LPS_TO_RAS @ _matrix(request["ijk_to_ras"]), name, told + mended, measured)


def _matrix(rows: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(rows, dtype=np.float64).reshape(4, 4)
    except (TypeError, ValueError) as error:
        raise InputError("the voxel-to-world matrix is not 4x4 numbers", remedy="Start the run again") from error


def _load_voxels(path: Path) -> NDArray[np.float32]:
    what = "" if path.is_file() else "there is no such file"  # of a pipe the end would never come
    try:
        voxels = None if what else np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        what = str(error)
    if not what and not (isinstance(voxels, np.ndarray) and voxels.dtype.kind in "biuf"):
        what = "it holds no real numbers"
    if what or voxels is None:
        raise InputError(f"the voxels cannot be read ({what})", file=path, remedy="Start the run again")
    with np.errstate(over="ignore"):
        real: NDArray[np.float32] = voxels.astype(np.float32, copy=False)
    return real


def error_event(error: BaseException) -> Event:
    """The event that tells the parent about an exception; memory errors of any library become ``ResourceError``."""
    if isinstance(error, MtsError):
        return {"event": "error", "kind": type(error).__name__, "message": str(error)}
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return {"event": "error", "kind": "ResourceError", "message": str(memory_error(error))}
    if isinstance(error, OSError) and error.strerror:
        message = system_error_sentence(error, "the folder that is shared with Slicer")
        return {"event": "error", "kind": "ResourceError", "message": message}
    if isinstance(error, KeyError):
        return {"event": "error", "kind": "UsageError", "message": f"the request lacks {text}."}
    return {"event": "error", "kind": "InternalError", "message": f"unexpected {type(error).__name__}: {text}"}


class ProgressEvents:
    """Turns ``progress(fraction, step)`` calls into events with the time that is left, at most ten a second.

    Attributes:
        note: what is done in another way than planned; told with every step.
    """

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self.note = ""
        self._send = send
        self._clock = clock
        self._started = clock()
        self._sent_at = -np.inf
        self._step = ""
        self._fraction = self._begun = 0.0

    def __call__(self, fraction: float, step: str) -> None:
        """Report that ``fraction`` (0 to 1) of the work is done and which step is under way."""
        now = self._clock()
        step = f"{step}, {self.note}" if self.note else step
        if step == self._step and now - self._sent_at < PROGRESS_INTERVAL_S:
            return
        self._sent_at, self._step, self._fraction = now, step, fraction
        done = fraction - self._begun
        eta_s = (now - self._started) * (1.0 - fraction) / done if done > 0.0 else None
        self._send({"event": "progress", "fraction": float(fraction), "eta_s": eta_s, "step": step})

    def go_on(self, note: str) -> None:
        """The work goes on in another way; its time left counts from now."""
        self.note, self._started, self._begun = note, self._clock(), self._fraction
        self(self._fraction, "model")


class Worker:
    """Answers requests one after the other and keeps the model that was used last."""

    def __init__(self, send: Send, machine: Machine | None = None) -> None:
        self._send = send
        self._machine = TorchMachine() if machine is None else machine
        self._models = ModelHost(self._machine)
        self._runs = ListedRuns(self._models, self._machine)
        self._commands: dict[str, Callable[[Request, Send], None]] = {
            "segment": self._segment,
            "check": self._check,
            "info": self._info,
            "devices": self._devices,
            "card": lambda request, send: send(card_of(request)),
            "trained": lambda request, send: send(models_in(request)),
            "import": lambda request, send: send(imported(request, ProgressEvents(send))),
        }

    def handle(self, line: str) -> bool:
        """Answer one request line; whether to go on. Every failure becomes an error event."""
        number = None
        try:
            request = parsed_request(line)
            number = request.get("id")
            require_kinds(request)
            command = request["command"]
            if command == "shutdown":
                return False
            if command not in self._commands:
                raise UsageError(f"unknown command '{command}'", remedy=f"Use one of {', '.join(self._commands)}")
            self._commands[command](request, lambda event: self._send({"id": number, **event}))
        except Exception as error:  # the boundary of the process: the parent decides what to do
            traceback.print_exc(file=sys.stderr)
            self._send({"id": number, **error_event(error)})
        return True

    def rest(self) -> None:
        """Slicer needs the memory more than a run that may follow."""
        self._machine.rest()
        release_freed_memory()

    def _run(
        self,
        request: Request,
        volume: Volume,
        purpose: Purpose,
        act: Callable[[Answers, Callable[[float, str], None]], T],
        progress: ProgressEvents,
        seen: Volume | None = None,
    ) -> Outcome[T]:
        model, device = request.get("model"), request.get("device", "auto")
        return self._runs.run(model, device, volume, purpose, act, progress, progress.go_on, seen)

    def _segment(self, request: Request, send: Send) -> None:
        progress = ProgressEvents(send)
        progress(0.0, "reading")
        volume = read_volume(request)
        progress(0.0, "model")
        with needed_packages():
            from MultiTaskSegLib.runtime.selection.requested import requested
            from MultiTaskSegLib.runtime.thumbnail.thumbnail_entry import thumbnail_entry
        selection = requested(request)
        outcome = self._run(
            request,
            volume,
            selection.purpose,
            lambda model, tell: selection.segment(model, volume, tell),
            progress,
            selection.seen(volume),
        )
        found = outcome.found
        if outcome.notes:
            found = found.with_warnings(outcome.notes)
        if outcome.choice:
            found = found.with_model_choice(outcome.choice)
        progress(1.0, "writing")
        files = _write_result(found, request) | thumbnail_entry(found, request)
        send({"event": "result", "report": found.report(), **files, "legend": legend_of(found.task)})

    def _check(self, request: Request, send: Send) -> None:
        progress = ProgressEvents(send)
        progress(0.0, "reading")
        volume = read_volume(request)
        progress(0.0, "model")
        keeps = bool(request.get("keep", False))
        if bool(request.get("map", False)):
            purpose = replace(LOCATE, keeps=keeps)
            located = self._run(request, volume, purpose, lambda model, tell: model.locate(volume, tell), progress)
            verdict, rarity = located.found
            outcome: Outcome[Any] = replace(located, found=verdict)
        else:
            purpose = replace(CHECK, keeps=keeps)
            outcome = self._run(request, volume, purpose, lambda model, tell: model.check(volume, tell), progress)
            verdict, rarity = outcome.found, None
        files = {}
        if rarity is not None:
            output = Path(request["output"])
            output.mkdir(parents=True, exist_ok=True)
            np.save(output / "foreign.npy", rarity)
            files["foreign"] = str(output / "foreign.npy")
        report = {
            "image": volume.name,
            "model": outcome.model,
            "ood": verdict.as_dict(),
            "network_grid": verdict.network_grid,
            "warnings": list(dict.fromkeys((*verdict.warnings, *outcome.notes))),
        }
        explanation = verdict.explanation
        spectra = [] if explanation is None else [band.as_dict() for band in explanation.spectra]
        send({"event": "result", "report": report, "spectra": spectra, **files})

    def _info(self, request: Request, send: Send) -> None:
        planar = bool(request.get("planar", False))
        manifest = self._models.predictor(request.get("model"), request.get("device", "auto"), planar).manifest
        send({"event": "result", "tasks": task_facts(manifest), "checked": manifest.ood is not None})

    def _devices(self, _request: Request, send: Send) -> None:
        send({"event": "result", "devices": self._machine.devices()})


def _write_result(found: Any, request: Request) -> dict[str, Any]:
    """Put labels and uncertainty into the folder of the request: as image files with ``write``, else as arrays.

    Returns:
        Where they are, and the report with digests where there are files.
    """
    output = Path(request["output"])
    output.mkdir(parents=True, exist_ok=True)
    if request.get("write", False):
        report = found.write(output / "files")
        return {"files": str(output / "files"), "report": report}
    np.save(output / "labels.npy", found.labels)
    np.save(output / "uncertainty.npy", found.uncertainty)
    names = ["labels", "uncertainty"]
    if found.regions is not None:
        np.save(output / "regions.npy", found.regions)
        names.append("regions")
    return {name: str(output / f"{name}.npy") for name in names}


def legend_of(task: Any) -> list[dict[str, Any]]:
    """What a viewer needs to show each label of a task: value, names, colour (0..255) and terminology."""
    return [
        {
            "value": int(label.value),
            "name": label.name,
            "display_name": label.display_name,
            "colour": [int(channel) for channel in label.colour],
            "terminology": label.terminology,
        }
        for label in task.labels
    ]


def main(arguments: list[str] | None = None) -> int:
    """Serve until a shutdown request or the end of stdin; the exit code of the process."""
    arguments, parent = sys.argv[1:] if arguments is None else arguments, os.getppid()
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # also what C libraries print goes to the log
    sys.stdout = sys.stderr
    lock, scratch = threading.Lock(), arguments[0] if arguments else None

    def send(event: Event) -> None:
        """Write one event as one line, whichever thread it comes from."""
        try:
            with lock:
                protocol.write(json.dumps(event) + "\n")
                protocol.flush()
        except OSError:
            end(scratch)

    send({"event": "ready", "version": __version__, "torch": _torch_version()})
    worker = Worker(send)
    for line in requests(lines_of(0), scratch, parent, worker.rest):
        if not worker.handle(line):
            break
        release_freed_memory()  # the worker idles between volumes, and Slicer needs the memory
    return 0


def _torch_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
