"""Run functions for tests: they leave a trace of every call in their folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError


def square(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """The square of ``x``, plus the number of inputs."""
    _count(folder)
    return {"y": parameters["x"] ** 2, "inputs": len(inputs), "process": os.getpid()}


def fail_once(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Refuses at the first call only."""
    if _count(folder) == 1:
        raise DatasetError("nothing to see", file="data", remedy="Look again")
    return {"y": 1}


def interrupted_once(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Somebody presses Ctrl-C during the first call."""
    if _count(folder) == 1:
        raise KeyboardInterrupt
    return {"calls": calls(folder)}


def crash(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Takes its process with it."""
    os._exit(9)


def wrong(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """A mistake in the code."""
    return {"y": parameters["missing"]}


def calls(folder: Path) -> int:
    """How often a run was called in a folder."""
    return len(list(folder.glob("call-*")))


def _count(folder: Path) -> int:
    (folder / f"call-{calls(folder)}").touch()
    return calls(folder)
