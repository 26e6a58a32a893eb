"""What happened in the runs on a folder of results: lines that are only ever added."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ResourceError

JOURNAL_FILE = "cohort.log.jsonl"
BEGUN, CHANGED, DONE, TRIED, FAILED, ENDED = "begun", "changed", "done", "tried", "failed", "ended"


class Journal:
    """Writes lines.

    Args:
        folder: of the results.

    Raises:
        ResourceError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_FILE
        try:
            self._stream = self._path.open("ab", buffering=0)
            if self._path.stat().st_size and not _ends_a_line(self._path):
                self._stream.write(b"\n")  # a power cut has torn the last line
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, event: str, **facts: Any) -> None:
        """Add a line with the time.

        Raises:
            ResourceError: it cannot be written.
        """
        line = json.dumps({"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "event": event, **facts})
        try:
            self._stream.write(line.encode("ascii") + b"\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """End; what could not be written has been told."""
        self._stream.close()

    def _unwritable(self, error: OSError) -> ResourceError:
        return ResourceError(
            f"cannot write ({error.strerror})", file=self._path, remedy="Check permissions and free disk space"
        )


def failures(folder: Path) -> dict[str, tuple[str, int]]:
    """By the identity of each case whose last attempt failed for good: the reason, and how often it was tried.

    Raises:
        ResourceError: the journal cannot be read.
    """
    found: dict[str, tuple[str, int]] = {}
    for entry in entries(folder):
        if entry.get("event") == FAILED:
            found[str(entry.get("case"))] = (str(entry.get("reason")), int(entry.get("attempts", 0)))
        elif entry.get("event") == DONE:
            found.pop(str(entry.get("case")), None)
    return found


def entries(folder: Path) -> list[dict[str, Any]]:
    """All lines that are whole.

    Raises:
        ResourceError: the journal cannot be read.
    """
    path = folder / JOURNAL_FILE
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise ResourceError(f"cannot read ({error.strerror})", file=path, remedy="Check the access rights") from error
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) == b"\n"
