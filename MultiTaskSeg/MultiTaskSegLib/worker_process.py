"""The worker as a child process: how it is found, started, heard and ended. No torch here."""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime import errors

WORKER_MODULE = "MultiTaskSegLib.runtime.worker"
STDERR_LINES_KEPT = 40
STDERR_LINES_SHOWN = 3


def python_executable() -> str:
    """The Python to run the worker with: PythonSlicer inside Slicer, else the running interpreter.

    Raises:
        ResourceError: no interpreter can be found.
    """
    suffix = ".exe" if os.name == "nt" else ""
    beside = Path(sys.executable or "").parent / f"PythonSlicer{suffix}"
    if beside.is_file():
        return str(beside)
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    found = shutil.which("PythonSlicer")  # Slicer puts its bin folder on PATH
    if found is None:
        raise errors.ResourceError("no Python interpreter was found for the worker", remedy="Reinstall 3D Slicer")
    return found


def worker_environment() -> dict[str, str]:
    """The environment of the worker: this package importable, UTF-8 everywhere."""
    package_parent = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    path = package_parent if not inherited else os.pathsep.join((package_parent, inherited))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


class WorkerProcess:
    """One running worker: its process tree, its private folder and the events that it sent."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="multitaskseg-"))
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._is_ended = False
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES_KEPT)
        arguments = list(command) if command is not None else [python_executable(), "-m", WORKER_MODULE]
        try:
            self.process = start_tree([*arguments, str(self.folder)], worker_environment(), self.folder)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise errors.ResourceError(f"the worker cannot be started ({error})", file=arguments[0]) from error
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

    def death_notice(self) -> errors.ResourceError:
        """Why the worker is gone, from its exit code and the last lines of its log, with advice."""
        self._readers[1].join(timeout=1.0)
        lines = [line for line in self._stderr if line.strip()][-STDERR_LINES_SHOWN:]
        code = self.process.poll()
        return errors.ResourceError(
            f"the worker process ended unexpectedly (exit code {code}): {' | '.join(lines) or 'it left no message'}",
            remedy="This is mostly a lack of memory: close other programs, crop the image, or choose the CPU as device",
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
