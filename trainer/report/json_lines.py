"""Files with one JSON object per line, to which a process appends until it ends, however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ResourceError


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, in order.

    The last line is left out when it is not whole: it is still being written, or the process or the power went while it
    was. Nothing else explains a damaged line, so any other is an error.

    Raises:
        ResourceError: the file cannot be read, or a line before the last is not a JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResourceError(
            f"the records cannot be read ({error.strerror})", file=path, remedy="Check the path"
        ) from error
    # What follows the last end of a line is not whole, and nothing where all are.
    *lines, _ = lines
    found = []
    for number, line in enumerate(lines, start=1):
        record = _parsed(line)
        if record is not None:
            found.append(record)
        elif number < len(lines) and line.strip():
            raise ResourceError(
                f"line {number} of {len(lines)} is damaged", file=path, remedy="Remove that line, or start anew"
            )
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
