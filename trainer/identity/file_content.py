"""Hashes of what files hold, each read once for as long as nobody touches the file."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from trainer.identity.fingerprint import fingerprint

SCHEMA = "multitaskseg-contents/1"
MEMORY_NAME = "contents.json"
# A file that is written twice within one tick of the file system's clock looks untouched: two seconds on FAT.
CLOCK_TICK_NS = 2_000_000_000
CHUNK_BYTES = 1 << 20

Stamp = list[int]


class FileContents:
    """Hashes of files.

    Names and times say little about a file: a label map may be replaced by another of the same size whose time is
    copied along. So the content counts. A file is read again when its size, number or one of its times differs; the
    time of change (of POSIX systems) is set by the system alone. One that was written a moment ago is read every time.

    Args:
        memory: JSON file with the hashes of earlier calls, which several processes may share; None: nothing is kept.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._known = _read(memory)
        self._new: dict[str, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """Hash of a file, or of the names and contents of all files in a folder; safe to call in several threads.

        Raises:
            InputError: it cannot be read.
        """
        try:
            if path.is_dir():
                files = sorted(file for file in path.rglob("*") if file.is_file())
                return fingerprint([[file.relative_to(path).as_posix(), self._of_file(file)] for file in files])
            return self._of_file(path)
        except OSError as error:
            raise InputError(
                f"the file cannot be read ({error.strerror or error})", file=path, remedy="Check the path"
            ) from error

    def of_all(self, paths: Iterable[Path]) -> list[str]:
        """Hash of each."""
        return [self.of(path) for path in paths]

    def keep(self) -> None:
        """Remember what is known now in the memory file, beside what other processes have written there meanwhile.

        Raises:
            ResourceError: the file cannot be written.
        """
        with self._lock:
            found, self._new = self._new, {}
        if self._memory is not None and found:
            content = {"schema": SCHEMA, "files": _read(self._memory) | found}
            with atomic_path(self._memory) as temporary:
                temporary.write_text(json.dumps(content), encoding="utf-8")

    def _of_file(self, path: Path) -> str:
        name, stamp = str(path.absolute()), _stamp(path)
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        # Judged before it is read: what was written while it was read or after may have the same times for ever.
        is_settled = _is_settled(stamp)
        entry = (stamp, _digest(path))
        if is_settled:
            with self._lock:
                self._known[name] = self._new[name] = entry
        return entry[1]


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _is_settled(stamp: Stamp) -> bool:
    """Whether a further change of the file would be seen by its times."""
    return max(stamp[1:3]) + CLOCK_TICK_NS < time.time_ns()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read(memory: Path | None) -> dict[str, tuple[Stamp, str]]:
    """What a memory file holds; a damaged one, or one of another version, holds nothing."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8")) if memory is not None else {}
        if content.get("schema") != SCHEMA:
            return {}
        return {str(name): (list(stamp), str(digest)) for name, (stamp, digest) in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
