"""Whether torch can be loaded, tried in a child process: a broken one would take Slicer down or lock its own files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.worker_process import python_executable, worker_environment

# Loads the libraries and computes, as a half-installed torch can often be imported.
PROGRAM = "import torch; torch.zeros(1).sum(); print(torch.__version__)"
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


def probe_torch(idle: Callable[[], object], time_limit_s: float = TIME_LIMIT_S) -> TorchProbe:
    """Load torch in a child process; ``idle`` is called meanwhile, about 20 times a second.

    Raises:
        ResourceError: no Python interpreter can be found.
    """
    if not is_installed("torch"):
        return TorchProbe(TorchState.MISSING)
    try:
        # Not in a folder that others can write to: Python looks for modules in its working folder first.
        process = start_tree([python_executable(), "-c", PROGRAM], worker_environment(), Path(__file__).parent)
    except OSError as error:
        return TorchProbe(TorchState.BROKEN, str(error))
    try:
        return _outcome(process, idle, time_limit_s)
    finally:
        if process.poll() is None:
            end_tree(process)
            process.communicate()


def _outcome(process: subprocess.Popen[str], idle: Callable[[], object], time_limit_s: float) -> TorchProbe:
    deadline = time.monotonic() + time_limit_s
    while time.monotonic() < deadline:
        try:
            output, log = process.communicate(timeout=POLL_INTERVAL_S)
        except subprocess.TimeoutExpired:
            idle()
            continue
        return _judged(process.returncode, output, log)
    return TorchProbe(TorchState.BROKEN, f"no answer within {time_limit_s:g} s")


def _judged(code: int, output: str, log: str) -> TorchProbe:
    if code == 0:
        return TorchProbe(TorchState.READY, output.strip())
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return TorchProbe(TorchState.BROKEN, lines[-1] if lines else f"exit code {code}")
