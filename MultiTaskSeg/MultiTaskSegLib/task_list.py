"""Which tasks a model file knows, read from its header only: no torch, so that a panel can offer them at once."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.released import released_model

HEADER_LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1_000_000


def task_names(model: str | Path | None = None) -> list[str]:
    """Names of the tasks of a model file; of all released models where ``model`` is None.

    A file that cannot be read gives no names: whether it is sound is the worker's to say, when it is used.
    """
    names: list[str] = []
    for path in _released_models() if model is None else [Path(model)]:
        names += _names_in(path)
    return names


def _released_models() -> list[Path]:
    paths = []
    for planar in (False, True):
        try:
            paths.append(released_model(planar))
        except MtsError:
            continue
    return paths


def _names_in(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(HEADER_LENGTH_BYTES))
            if length > MAX_HEADER_BYTES:
                return []
            manifest = json.loads(json.loads(file.read(length))["__metadata__"]["manifest"])
        return [str(task["name"]) for task in manifest["tasks"]]
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return []
