"""The worker as a child process: how it is found, started, heard and ended. No torch here."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.interpreter.other_python import other_python
from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime import errors
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory

WORKER_MODULE = "MultiTaskSegLib.runtime.worker"
STDERR_LINES_KEPT = 40
STDERR_LINES_SHOWN = 3
LAST_WORDS_TIMEOUT_S = 1.0
KILLED = (-9, -15)  # what systems, or programs that watch over memory, do to a process when it runs out
STARTING_STEPS = ("starting", "reading", "model")
BROKEN_START_REMEDY = (
    "Its Python packages may be damaged: install PyTorch again with the PyTorch extension of Slicer, and try again"
)
LACK_OF_MEMORY_REMEDY = (
    "This is mostly a lack of memory: close other programs, crop the image, or choose the CPU as device"
)


class DeadWorkerError(errors.ResourceError):
    """The worker ended before it had answered."""


class BrokenWorkerError(DeadWorkerError):
    """The worker cannot be started, whatever it is to do: it would fare no better with the next image."""


def python_executable() -> str:
    """The Python to run the worker with: one that was chosen; else PythonSlicer inside Slicer, or the running one.

    Raises:
        BrokenWorkerError: no interpreter can be found, or the chosen one has gone.
    """
    chosen = other_python()
    if chosen is not None:
        if not chosen.path.is_file():
            raise BrokenWorkerError(
                "the chosen Python is not there", file=chosen.path, remedy="Choose another one under Advanced"
            )
        return str(chosen.path)
    suffix = ".exe" if os.name == "nt" else ""
    beside = Path(sys.executable or "").parent / f"PythonSlicer{suffix}"
    if beside.is_file():
        return str(beside)
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    found = shutil.which("PythonSlicer")  # Slicer puts its bin folder on PATH
    if found is None:
        raise BrokenWorkerError("no Python interpreter was found for the worker", remedy="Reinstall 3D Slicer")
    return found


def worker_environment(scratch: Path | None = None) -> dict[str, str]:
    """The environment of the worker: this package importable, UTF-8 everywhere, temporary files in ``scratch``."""
    package_parent = str(Path(__file__).resolve().parent.parent)
    chosen = other_python()
    base = dict(os.environ) if chosen is None else chosen.environment()
    inherited = base.get("PYTHONPATH")
    path = package_parent if not inherited else os.pathsep.join((package_parent, inherited))
    # A worker that is cancelled cannot clean up: what any library leaves must lie where the parent removes it.
    temporary = {} if scratch is None else dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    return {**base, **temporary, "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def _private_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="multitaskseg-"))
    except OSError as error:
        raise BrokenWorkerError(
            f"the temporary folder cannot be used ({error.strerror or error})",
            file=error.filename,
            remedy="Free some space on its disk, or check the rights to write there",
        ) from error


class WorkerProcess:
    """One running worker: its process tree, its private folder and the events that it sent."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Start the process; one that cannot be started leaves nothing behind.

        Raises:
            BrokenWorkerError: there is no interpreter or no room for its files, or the process cannot be started.
        """
        arguments = list(command) if command is not None else [python_executable(), "-m", WORKER_MODULE]
        self.folder = _private_folder()
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._is_ended = False
        self._dead_since_s: float | None = None
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES_KEPT)
        try:
            self.process = start_tree([*arguments, str(self.folder)], worker_environment(self.folder), self.folder)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise BrokenWorkerError(f"the worker cannot be started ({error})", file=arguments[0]) from error
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_log)]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        for line in self.process.stdout or ():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                event = None
            if isinstance(event, dict) and "event" in event:
                self.events.put(event)
            else:
                self._stderr.append(line.rstrip())  # not ours: some library's words
        self.events.put(None)

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self._stderr.append(line.rstrip())

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        """Write one request line. A worker that has died is noticed by whoever reads the events."""
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            self.events.put(None)

    @property
    def is_silenced(self) -> bool:
        """Whether the process has ended for so long that nothing more will come.

        The end of its output alone does not tell: something that it started may hold the pipe open.
        """
        if self.is_alive:
            return False
        if self._dead_since_s is None:
            self._dead_since_s = time.monotonic()
        return not self._readers[0].is_alive() or time.monotonic() - self._dead_since_s > LAST_WORDS_TIMEOUT_S

    def death_notice(self, step: str = "") -> DeadWorkerError:
        """Why the worker is gone, from its exit code and the last lines of its log, with advice for that ``step``."""
        self._readers[1].join(timeout=LAST_WORDS_TIMEOUT_S)
        lines = [line for line in self._stderr if line.strip()][-STDERR_LINES_SHOWN:]
        try:
            code = self.process.wait(timeout=LAST_WORDS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            code = None
        # Libraries that are loaded with too little memory end the process in words of their own.
        is_short = is_out_of_memory(RuntimeError(" ".join(lines)))
        is_broken = step in STARTING_STEPS and code not in KILLED and not is_short
        kind = BrokenWorkerError if is_broken else DeadWorkerError
        return kind(
            f"the worker process ended unexpectedly (exit code {code}): {' | '.join(lines) or 'it left no message'}",
            remedy=BROKEN_START_REMEDY if is_broken else LACK_OF_MEMORY_REMEDY,
        )

    def end(self) -> None:
        """End the process tree and remove the private folder; returns within about 2 seconds."""
        if self._is_ended:
            return
        self._is_ended = True
        end_tree(self.process)
        for reader in self._readers:
            reader.join(timeout=1.0)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                continue  # a pipe to a dead process may fail to flush
        shutil.rmtree(self.folder, ignore_errors=True)
