"""nnU-Net in a process of its own, because its Python may be another one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError, UsageError

LIBRARY = "nnunetv2"
ASK_VERSION = f"import importlib.metadata as m; print('{LIBRARY}', m.version('{LIBRARY}'))"
ASK_TIMEOUT_S = 120.0
FOLDERS = ("raw", "preprocessed", "results")
REQUEST, LOG = "request.json", "log.txt"
TOLD_LINES = 3
PROGRAM = Path(__file__).with_name("program.py")


def installed_version(python: str) -> str:
    """The version of nnunetv2 that a Python has.

    Args:
        python: path or name of the program; empty: the running one.

    Raises:
        UsageError: there is no such program, or nnunetv2 is not installed there.
    """
    command = [python or sys.executable, "-c", ASK_VERSION]
    try:
        told = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refusal("the Python for nnU-Net cannot be run", python) from error
    found = re.search(rf"^{LIBRARY} (\S+)$", told.stdout, flags=re.MULTILINE)
    if told.returncode or not found:
        raise _refusal("an arm needs nnU-Net, and nnunetv2 is not installed", python)
    return found[1]


def run_program(python: str, folder: Path, request: Mapping[str, Any]) -> None:
    """Have a request done; what nnU-Net prints is in the folder's log.

    Args:
        python: as for `installed_version`.
        folder: where nnU-Net reads and writes everything.
        request: see `trainer.nnunet_peer.program`.

    Raises:
        ModelError: it did not end well; the message has the last lines that it printed.
    """
    copy = Path(shutil.copy(PROGRAM, folder / PROGRAM.name))
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    command = [python or sys.executable, str(copy), str(folder / REQUEST)]
    with (folder / LOG).open("wb") as log:
        status = _ended(command, folder, request["threads"], log)
    if status:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        raise ModelError(f"nnU-Net ended with status {status}: {last_lines(lines)}", remedy=f"See {LOG} of the run")


def last_lines(lines: Sequence[str]) -> str:
    """What a program said last, on one line.

    >>> last_lines(["Traceback", "", "  raise", "ValueError: no label", "", "bye"])
    'raise; ValueError: no label; bye'
    """
    said = [line.strip() for line in lines if line.strip()]
    return "; ".join(said[-TOLD_LINES:]) or "it said nothing"


def _ended(command: Sequence[str], folder: Path, threads: int, log: Any) -> int:
    try:
        # It ends when its standard input does: a killed experiment leaves no training behind.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=_environment(folder, threads)
        )
    except OSError as error:
        raise _refusal("the Python for nnU-Net cannot be run", command[0]) from error
    with process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _environment(folder: Path, threads: int) -> dict[str, str]:
    own = {f"nnUNet_{name}": str(folder / name) for name in FOLDERS}
    # Compiling takes minutes; and what was printed before a program is killed must be in the log.
    own |= {"nnUNet_compile": "f", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})


def _refusal(what: str, python: str) -> UsageError:
    return UsageError(
        what,
        file=python or sys.executable,
        remedy="Run 'pip install nnunetv2' there, name the Python of an environment that has it as python in "
        "[multi_task.nnunet], or leave out the arms of kind nnunet",
    )
