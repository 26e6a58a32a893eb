"""Training runs in processes of their own, whose results outlive an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from Testing.bench.labelled_image import REPOSITORY

OWN, NNUNET = "Testing.bench.own_training", "Testing.bench.nnunet_training"


class FailedRun(Exception):
    """A process ended with an error; the message is the end of its log."""


def measured(
    module: str, request: dict[str, Any], folder: Path, environment: dict[str, str], python: str = sys.executable
) -> dict[str, Any]:
    """The result of a request: from the folder if it is there already, else from a new process.

    Args:
        module: `OWN` or `NNUNET`.
        request: without ``output``.
        folder: of this run: request, log and result are kept there.
        environment: variables beside those of this process.
        python: interpreter.

    Raises:
        FailedRun: the process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result, asked = folder / "result.json", folder / "request.json"
    text = json.dumps({**request, "output": str(result)}, indent=1)
    if not (result.is_file() and asked.is_file() and asked.read_text("utf-8") == text):
        asked.write_text(text, encoding="utf-8")
        result.unlink(missing_ok=True)
        _run([python, "-m", module, str(asked)], folder / "log.txt", environment)
    found: dict[str, Any] = json.loads(result.read_text("utf-8"))
    return found


def thread_environment(threads: int) -> dict[str, str]:
    """Variables for a number of threads; those that wait sleep, so that waiting is not counted as work."""
    paths = [str(REPOSITORY), str(REPOSITORY / "MultiTaskSeg")]
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.pathsep.join(paths)}


def has_module(python: str, name: str) -> bool:
    """Whether an interpreter finds a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0


def _run(command: list[str], log: Path, environment: dict[str, str]) -> None:
    sys.stderr.write(f"{' '.join(command[2:])}\n")
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            command, stdout=stream, stderr=subprocess.STDOUT, check=False, env={**os.environ, **environment}
        )
    if done.returncode != 0:
        raise FailedRun(f"{command[2]} failed: {log.read_text('utf-8', errors='replace').strip()[-800:]}")
