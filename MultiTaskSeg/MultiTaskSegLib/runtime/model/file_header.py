"""What a model file says in its header, as plain values: no tensor is read and no torch is needed, so that it is quick.

Whether the file is sound as a whole is seen when it is loaded; what a header alone can tell is told here.
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1_000_000
METADATA = "__metadata__"
REMEDY = "Get the model file again, or choose another one"


def header_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a model file; the caller must not change it.

    Raises:
        ModelError: there is no such file, it is cut off, or it is no model of MultiTaskSeg.
    """
    path = Path(path)
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError("there is no such model file", file=path, remedy="Choose another one") from error
    # Panels ask again and again; a header of many tasks takes some milliseconds to read.
    manifest, _digest, problem = _read(path, state.st_mtime_ns, state.st_size)
    if problem:
        raise ModelError(problem, file=path, remedy=REMEDY)
    return manifest


def header_digest(path: str | Path) -> str:
    """The digest that a model file says it has, by which reports name it; empty where there is no such file or none."""
    path = Path(path)
    try:
        state = path.stat()
    except OSError:
        return ""
    return _read(path, state.st_mtime_ns, state.st_size)[1]


@lru_cache(maxsize=64)
def _read(path: Path, _modified_ns: int, size_bytes: int) -> tuple[dict[str, Any], str, str]:
    """The manifest and the digest, or what is wrong with the file."""
    try:
        if not path.is_file():  # of a pipe the end would never come
            return {}, "", "this is no file"
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(LENGTH_BYTES))
            if length > MAX_HEADER_BYTES:
                return {}, "", "this is no model of MultiTaskSeg"
            text = file.read(length)
        if len(text) < length:
            return {}, "", "the model file is cut off"
        header = json.loads(text)
        manifest = json.loads(header[METADATA]["manifest"])
        digest = str(header[METADATA].get("digest", ""))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != METADATA]
    except OSError as error:
        return {}, "", f"the model file cannot be read ({error.strerror or error})"
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError, struct.error):
        return {}, "", "this is no model of MultiTaskSeg"
    whole = LENGTH_BYTES + length + max(ends, default=0)
    if size_bytes < whole:
        return {}, "", f"the model file is cut off: {size_bytes} of {whole} bytes are there"
    if not isinstance(manifest, dict):
        return {}, "", "this is no model of MultiTaskSeg"
    return manifest, digest, ""
