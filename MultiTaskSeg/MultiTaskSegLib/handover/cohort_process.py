"""``multitaskseg cohort`` as a process: started, watched through its journal, ended. No torch, Ray or Slicer here."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime.errors import Cancelled, MtsError, ResourceError, UsageError
from MultiTaskSegLib.worker_process import python_executable, worker_environment

JOURNAL = "cohort.log.jsonl"
PROGRAM, NO_PACKAGES = "multitaskseg: ", "cohorts need "
EXIT_DONE, EXIT_SOME_FAILED, EXIT_INTERRUPTED = 0, 4, 130
LINES_KEPT = 40
PATIENCE_S = 30.0  # for tables and page after it was asked to end


@dataclass(frozen=True)
class CohortRequest:
    """What a cohort is to do.

    Attributes:
        images: folder or list.
        output: folder of the results; one of the same model and settings goes on.
        model: file; all results are of one.
        task: name, or ``auto``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        structures: that are wanted; none for all.
        address: of a Ray cluster; empty for this computer.
        workers: images at once.
        thorough: whether further looks at changed copies of each image tell how sure its result is.
    """

    images: Path
    output: Path
    model: Path
    task: str = "auto"
    device: str = "auto"
    structures: tuple[str, ...] = ()
    address: str = ""
    workers: int = 1
    thorough: bool = False

    def words(self) -> list[str]:
        """Those after ``multitaskseg``."""
        found = ["cohort", "segment", str(self.images), "-o", str(self.output), "-m", str(self.model), "--json"]
        found += ["--task", self.task, "--device", self.device, "--workers", str(self.workers)]
        found += ["--structures", *self.structures] if self.structures else []
        found += ["--thorough"] if self.thorough else []
        return found + ([f"--address={self.address}"] if self.address else [])


class CohortProcess:
    """A cohort under way; a `run_control.Pollable`.

    Attributes:
        fraction: of the images, from 0 to 1.
        eta_s: seconds that are left; None while nothing is known.
        step: what is going on, in words.
        error: why it ended without all being tried; None while it runs, and when it did not.
        failed: images that failed.
    """

    def __init__(self, request: CohortRequest) -> None:
        """Start it with the Python that the worker has.

        Raises:
            ResourceError: the process cannot be started.
        """
        self.fraction, self.step = 0.0, "starting"
        self.eta_s: float | None = None
        self.error: MtsError | None = None
        self.failed, self._is_over = 0, False
        self._journal = request.output / JOURNAL
        # What earlier runs have noted there is not of this one.
        self._seen = self._journal.stat().st_size if self._journal.is_file() else 0
        self._all = self._before = self._through = 0
        self._began_s: float | None = None
        self._ended_s: float | None = None
        self._python = python_executable()
        command = [self._python, "-m", "MultiTaskSegLib.runtime.cli", *request.words()]
        try:
            self._process = start_tree(command, worker_environment(), Path.home())
        except OSError as error:
            raise ResourceError(f"the cohort cannot be started ({error})", file=self._python) from error
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        streams = (self._process.stderr, self._process.stdout)
        self._threads = [threading.Thread(target=self._swallow, args=(stream,), daemon=True) for stream in streams]
        for thread in self._threads:
            thread.start()

    def poll(self) -> bool:
        """Take in what is new; whether it is over. Never blocks."""
        if self._is_over:
            return True
        self._read_journal()
        if self._process.poll() is None:
            if self._ended_s is not None and time.monotonic() - self._ended_s > PATIENCE_S:
                end_tree(self._process)
            return False
        for thread in self._threads:
            thread.join(1.0)
        end_tree(self._process)  # whatever it may have left running
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # a pipe to a process that is gone
                if stream is not None:
                    stream.close()
        self._is_over = True
        self.error = self._why_ended(self._process.returncode)
        return True

    def end(self) -> None:
        """Ask it to end: it sums up what is done. After a while it is ended with everything that it started."""
        if self._process.poll() is None and self._ended_s is None:
            self._ended_s, self.step = time.monotonic(), "ending"
            with suppress(OSError):
                self._process.terminate()

    def _swallow(self, stream: IO[str] | None) -> None:
        """A pipe that nobody reads would stop the process."""
        for line in stream or ():
            if stream is self._process.stderr:
                self._said.append(line.strip())

    def _read_journal(self) -> None:
        with suppress(OSError), self._journal.open("rb") as stream:
            stream.seek(self._seen)
            *lines, _torn = stream.read().split(b"\n")
            self._seen += sum(len(line) + 1 for line in lines)
            for line in lines:
                self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return
        event = entry.get("event")
        if event == "begun":
            self._all, self._before, self._began_s = int(entry["cases"]), int(entry["finished"]), time.monotonic()
        elif event in ("done", "failed"):
            self._through += 1
            self.failed += event == "failed"
        if not self._all or self._began_s is None or self._ended_s is not None:
            return
        count = self._before + self._through
        self.fraction = min(1.0, count / self._all)
        pace_s = (time.monotonic() - self._began_s) / self._through if self._through else None
        self.eta_s = None if pace_s is None else pace_s * (self._all - count)
        self.step = f"{count} of {self._all} images" + (f", {self.failed} failed" if self.failed else "")

    def _why_ended(self, code: int) -> MtsError | None:
        told = [line.removeprefix(PROGRAM) for line in self._said if line.startswith(PROGRAM)]
        # Also where it was asked to end: that came too late.
        if code == EXIT_DONE or (code == EXIT_SOME_FAILED and not told):
            return None
        if self._ended_s is not None:
            return Cancelled("the cohort was ended; what is done stays, and the same choices go on with the rest")
        if told and told[-1].startswith(NO_PACKAGES):
            return UsageError(
                f"the Python of the cohort ({self._python}) lacks Ray or PyArrow",
                remedy=f"Run '{self._python} -m pip install ray pyarrow', or choose a Python that has them in Advanced",
            )
        said = told[-1] if told else next((line for line in reversed(self._said) if line), f"exit status {code}")
        return ResourceError(f"the cohort ended early: {said}")


def request_of(images: str, output: str, model: str, **wishes: object) -> CohortRequest:
    """A request from what was typed.

    Raises:
        UsageError: a folder or the model is missing.
    """
    if not images or not output:
        raise UsageError("a folder is missing", remedy="Choose a folder of images, or a list, and one for the results")
    if not model:
        raise UsageError(
            "a cohort is of one model, so that its results can be compared",
            remedy="Choose the model instead of automatic",
        )
    paths: Sequence[Path] = [Path(os.path.abspath(path)) for path in (images, output, model)]
    return CohortRequest(*paths, **wishes)  # type: ignore[arg-type]
