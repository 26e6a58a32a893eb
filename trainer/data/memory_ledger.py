"""What the processes of one user on this machine have taken of its memory for work that can wait."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

PREFIX, ENDING = "multitaskseg-memory-", ".claim"


class MemoryLedger:
    """Each process has a file with a number, which nobody else writes. A process that ended, however it did, counts no
    more: its file is no longer held open.

    Args:
        folder: of the files; None: in the folder of temporary files, which every machine of a cluster has of its own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = _folder_of_user() if folder is None else folder
        self._file: IO[str] | None = None

    def claim(self, own_bytes: int) -> None:
        """Say how much this process has taken or is about to take. Where nothing can be written, nobody is told."""
        with suppress(OSError):
            if self._file is None:
                self._file = self._opened()
            self._file.seek(0)
            self._file.truncate()
            self._file.write(str(own_bytes))
            self._file.flush()

    def others_bytes(self) -> int:
        """What all other processes have taken."""
        own = None if self._file is None else Path(self._file.name)
        found = 0
        with suppress(OSError):
            _require_own(self._folder)
            for path in self._folder.glob(f"*{ENDING}"):
                if path != own:
                    found += _claimed(path)
        return found

    def close(self) -> None:
        """Take everything back."""
        if self._file is not None:
            path = Path(self._file.name)
            self._file.close()
            self._file = None
            with suppress(OSError):
                path.unlink()

    def _opened(self) -> IO[str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_own(self._folder)
        file = tempfile.NamedTemporaryFile("w", dir=self._folder, suffix=ENDING, delete=False, encoding="ascii")  # noqa: SIM115
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file


def _folder_of_user() -> Path:
    try:
        user = str(os.getuid()) if sys.platform != "win32" else getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return Path(tempfile.gettempdir()) / f"{PREFIX}{user}"


def _require_own(folder: Path) -> None:
    """The folder of temporary files belongs to all users: somebody else may have made one of this name."""
    if sys.platform != "win32" and folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")


def _claimed(path: Path) -> int:
    """The number in a file that its process still holds; files of processes that ended are removed."""
    try:
        if sys.platform == "win32":
            # A file that is open cannot be removed there.
            path.unlink()
            return 0
        with path.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            return 0
    except OSError:
        return _number(path)


def _number(path: Path) -> int:
    try:
        return max(0, int(path.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0
