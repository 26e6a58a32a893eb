"""Whether torch can be loaded, tried in a child process: a broken one would take Slicer down or lock its own files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from MultiTaskSegLib.interpreter.other_python import other_python
from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.worker_process import python_executable, worker_environment

# Loads the libraries and computes, as a half-installed torch can often be imported.
PROGRAM = "import torch; torch.zeros(1).sum(); print(torch.__version__)"
# Of another Python nothing else is known.
OTHER_PROGRAM = f"import numpy, scipy, SimpleITK, safetensors; {PROGRAM}"
TIME_LIMIT_S = 120.0  # a first import from a slow disk takes a while
POLL_INTERVAL_S = 0.05


class TorchState(Enum):
    """What the child process found."""

    READY = "ready"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class TorchProbe:
    """What is known about torch.

    Attributes:
        state: ready, missing or broken.
        detail: the version of one that is ready, the last words of one that is broken.
    """

    state: TorchState
    detail: str = ""


def is_installed(package: str) -> bool:
    """Whether a package has been installed, seen from its metadata only."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


class TorchTrial:
    """Loads torch in a child process. Started early, it is mostly over when the answer is wanted."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        """Start at once and wait for nothing.

        Raises:
            ResourceError: no Python interpreter can be found.
        """
        self._time_limit_s = time_limit_s
        self._deadline = time.monotonic() + time_limit_s
        self._process: subprocess.Popen[str] | None = None
        self._outcome: TorchProbe | None = None
        if other_python() is None and not is_installed("torch"):
            self._outcome = TorchProbe(TorchState.MISSING)
            return
        try:
            # Not in a folder that others can write to: Python looks for modules in its working folder first.
            program = PROGRAM if other_python() is None else OTHER_PROGRAM
            command = [python_executable(), "-c", program]
            self._process = start_tree(command, worker_environment(), Path(__file__).parent)
        except OSError as error:
            self._outcome = TorchProbe(TorchState.BROKEN, str(error))

    def outcome(self, idle: Callable[[], object]) -> TorchProbe:
        """What was found; ``idle`` is called until it is known, about 20 times a second."""
        if self._outcome is None and self._process is not None:
            try:
                self._outcome = self._wait(self._process, idle)
            finally:
                self.end()
        assert self._outcome is not None
        return self._outcome

    def end(self) -> None:
        """End the child process; harmless when it has ended."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            end_tree(process)
            process.communicate()

    def _wait(self, process: subprocess.Popen[str], idle: Callable[[], object]) -> TorchProbe:
        while True:
            try:
                output, log = process.communicate(timeout=POLL_INTERVAL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() >= self._deadline:
                    return TorchProbe(TorchState.BROKEN, f"no answer within {self._time_limit_s:g} s")
                idle()
            else:
                return _judged(process.returncode, output, log)


def probe_torch(idle: Callable[[], object], time_limit_s: float = TIME_LIMIT_S) -> TorchProbe:
    """Load torch in a child process and wait for it; ``idle`` is called meanwhile, about 20 times a second.

    Raises:
        ResourceError: no Python interpreter can be found.
    """
    return TorchTrial(time_limit_s).outcome(idle)


def _judged(code: int, output: str, log: str) -> TorchProbe:
    if code == 0:
        return TorchProbe(TorchState.READY, output.strip())
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return TorchProbe(TorchState.BROKEN, lines[-1] if lines else f"exit code {code}")
