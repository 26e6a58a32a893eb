"""Worker process: keeps one model loaded and answers requests as JSON lines over stdin and stdout.

``python -m MultiTaskSegLib.runtime.worker [SCRATCH]``. The parent writes one request per line and reads events;
voxels travel as ``.npy`` files in SCRATCH, a private folder that the worker removes should the parent die. stderr is
the log: everything that any library prints on stdout is sent there, so that the protocol stays clean.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import InputError, MtsError, ResourceError, UsageError
from MultiTaskSegLib.runtime.memory_allocator import keep_freed_memory, release_freed_memory
from MultiTaskSegLib.runtime.volume import LPS_TO_RAS, Volume

Request = dict[str, Any]
Event = dict[str, Any]
Send = Callable[[Event], None]

PROGRESS_INTERVAL_S = 0.1
OUT_OF_MEMORY_PHRASES = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class Answers(Protocol):
    """What the worker needs from a loaded model; ``runtime.predictor.Predictor`` is the one that ships."""

    @property
    def manifest(self) -> Any:
        """The description of the model: its name and its tasks."""

    @property
    def model(self) -> Any:
        """The loaded model file, for its ``digest``."""

    def segment(self, volume: Volume, task: str = "auto", progress: Callable[[float, str], None] | None = None) -> Any:
        """Labels, uncertainty and verdict of one volume."""

    def check(self, volume: Volume, progress: Callable[[float, str], None] | None = None) -> Any:
        """Only the verdict of one volume."""

    def locate(self, volume: Volume, progress: Callable[[float, str], None] | None = None) -> Any:
        """The verdict of one volume, and the map that shows where it is foreign."""


Loader = Callable[[str | None, str, bool], Answers]


def load_predictor(model: str | None, device: str, planar: bool) -> Answers:
    """The predictor of a model file, or of the released default for 2-D (``planar``) or 3-D images.

    Raises:
        ResourceError: torch or another needed package is not installed for this Python.
        ModelError: the file is damaged or unknown.
    """
    try:
        from MultiTaskSegLib.runtime.predictor import Predictor
        from MultiTaskSegLib.runtime.released import released_model
    except ImportError as error:
        raise ResourceError(
            f"the Python package '{error.name}' cannot be loaded ({error})",
            remedy="Install PyTorch with the PyTorch extension of Slicer, or 'pip install multitaskseg', and try again",
        ) from error
    return Predictor.load(Path(model) if model else released_model(planar), device=device)


def read_volume(request: Request) -> Volume:
    """The image of a request: ``voxels`` names an ``.npy`` file ``(Z, Y, X)``, ``ijk_to_ras`` is 4x4.

    Raises:
        InputError: the file is missing, is no array, or does not describe one volume.
    """
    path = request["voxels"]
    try:
        voxels = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"the voxels cannot be read ({error})", file=path, remedy="Start the run again") from error
    ijk_to_lps = LPS_TO_RAS @ np.asarray(request["ijk_to_ras"], dtype=np.float64)
    return Volume(voxels.astype(np.float32, copy=False), ijk_to_lps, name=str(request.get("name", "")))


def error_event(error: BaseException) -> Event:
    """The event that tells the parent about an exception; memory errors of any library become ``ResourceError``."""
    if isinstance(error, MtsError):
        return {"event": "error", "kind": type(error).__name__, "message": str(error)}
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(phrase in text.lower() for phrase in OUT_OF_MEMORY_PHRASES):
        refused = ResourceError(
            "there is not enough memory for this image",
            remedy="Close other programs, choose the CPU as device, or crop the image to the region of interest",
        )
        return {"event": "error", "kind": "ResourceError", "message": str(refused)}
    if isinstance(error, KeyError):
        return {"event": "error", "kind": "UsageError", "message": f"the request lacks {text}."}
    return {"event": "error", "kind": "InternalError", "message": f"unexpected {type(error).__name__}: {text}"}


class ProgressEvents:
    """Turns ``progress(fraction, step)`` calls into events with the time that is left, at most ten a second."""

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._started = clock()
        self._sent_at = -np.inf
        self._step = ""

    def __call__(self, fraction: float, step: str) -> None:
        """Report that ``fraction`` (0 to 1) of the work is done and which step is under way."""
        now = self._clock()
        if step == self._step and now - self._sent_at < PROGRESS_INTERVAL_S:
            return
        self._sent_at, self._step = now, step
        eta_s = (now - self._started) * (1.0 - fraction) / fraction if fraction > 0.0 else None
        self._send({"event": "progress", "fraction": float(fraction), "eta_s": eta_s, "step": step})


class Worker:
    """Answers requests one after the other and keeps the model that was used last."""

    def __init__(self, send: Send, load: Loader = load_predictor) -> None:
        self._send = send
        self._load = load
        self._loaded: tuple[tuple[str | None, str, bool], Answers] | None = None
        self._commands = {"segment": self._segment, "check": self._check, "info": self._info}

    def handle(self, line: str) -> bool:
        """Answer one request line; whether to go on. Every failure becomes an error event."""
        number = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise UsageError("a request is a JSON object")
            number, command = request.get("id"), request["command"]
            if command == "shutdown":
                return False
            if command not in self._commands:
                raise UsageError(f"unknown command '{command}'", remedy=f"Use one of {', '.join(self._commands)}")
            self._commands[command](request, lambda event: self._send({"id": number, **event}))
        except json.JSONDecodeError as error:
            self._send({"id": None, "event": "error", "kind": "UsageError", "message": f"not a JSON line: {error}"})
        except Exception as error:  # the boundary of the process: the parent decides what to do
            traceback.print_exc(file=sys.stderr)
            self._send({"id": number, **error_event(error)})
        return True

    def _predictor(self, request: Request, planar: bool) -> Answers:
        key = (request.get("model"), request.get("device", "auto"), planar and not request.get("model"))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # frees the old model before the next one needs the memory
            self._loaded = (key, self._load(*key))
        return self._loaded[1]

    def _segment(self, request: Request, send: Send) -> None:
        progress = ProgressEvents(send)
        progress(0.0, "model")
        volume = read_volume(request)
        found = self._predictor(request, volume.is_planar).segment(volume, request.get("task", "auto"), progress)
        output = Path(request["output"])
        output.mkdir(parents=True, exist_ok=True)
        np.save(output / "labels.npy", found.labels)
        np.save(output / "uncertainty.npy", found.uncertainty)
        files = {name: str(output / f"{name}.npy") for name in ("labels", "uncertainty")}
        send({"event": "result", **files, "report": found.report(), "legend": legend_of(found.task)})

    def _check(self, request: Request, send: Send) -> None:
        progress = ProgressEvents(send)
        progress(0.0, "model")
        volume = read_volume(request)
        predictor = self._predictor(request, volume.is_planar)
        files = {}
        if request.get("map", False):
            verdict, rarity = predictor.locate(volume, progress)
            output = Path(request["output"])
            output.mkdir(parents=True, exist_ok=True)
            np.save(output / "foreign.npy", rarity)
            files["foreign"] = str(output / "foreign.npy")
        else:
            verdict = predictor.check(volume, progress)
        model = {"name": predictor.manifest.name, "sha256": predictor.model.digest}
        report = {"image": volume.name, "model": model, "ood": verdict.as_dict()}
        explanation = verdict.explanation
        spectra = [] if explanation is None else [band.as_dict() for band in explanation.spectra]
        send({"event": "result", "report": report, "spectra": spectra, **files})

    def _info(self, request: Request, send: Send) -> None:
        manifest = self._predictor(request, bool(request.get("planar", False))).manifest
        tasks = [{"name": task.name, "modality": task.modality, "anatomy": task.anatomy} for task in manifest.tasks]
        send({"event": "result", "tasks": tasks})


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


def _requests(stdin: Iterable[str], scratch: str | None) -> Iterable[str]:
    """Request lines, read by a thread so that the end of the parent is seen while a request is being answered."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        """Fill the queue until the parent closes the pipe."""
        for line in stdin:
            lines.put(line)
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)  # nobody is left to read an answer, so a request under way is not worth finishing

    threading.Thread(target=read, name="requests", daemon=True).start()
    while True:
        line = lines.get()
        if line.strip():
            yield line


def main(arguments: list[str] | None = None) -> int:
    """Serve until a shutdown request or the end of stdin; the exit code of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # also what C libraries print goes to the log
    sys.stdout = sys.stderr
    lock = threading.Lock()

    def send(event: Event) -> None:
        """Write one event as one line, whichever thread it comes from."""
        with lock:
            protocol.write(json.dumps(event) + "\n")
            protocol.flush()

    send({"event": "ready", "version": __version__, "torch": _torch_version()})
    worker = Worker(send)
    keep_freed_memory()
    stdin = os.fdopen(os.dup(0), "r", encoding="utf-8")
    for line in _requests(stdin, arguments[0] if arguments else None):
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
