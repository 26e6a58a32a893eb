"""One process at a time works on a folder; a process that ended, however it did, holds it no more."""

from __future__ import annotations

import errno
import os
import socket
import sys
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from MultiTaskSegLib.runtime.errors import ResourceError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR_BYTE = 1 << 30  # Windows lets nobody read what is locked: a byte behind the text is
# What the systems say where somebody else holds it; everything else says that there is no lock to be had.
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_open_files: weakref.WeakSet[IO[str]] = weakref.WeakSet()


class FolderIsHeld(ResourceError):
    """Another process works on the folder."""


class FolderLock:
    """Held from here to `release`; the system itself takes it from a process that is gone.

    Args:
        folder: it is made where it is not there.
        name: of the file that is locked, in the folder.
        work: what the holder does, as in ``process 7 on pc4 (since ...) is at work on these results``.

    Attributes:
        left_by: who held it and was ended before it could let go; empty where nobody was. Without a lock it may be at
            work still.
        is_held: False where the file system knows no locks, so that nobody else is kept away.

    Raises:
        FolderIsHeld: another process holds it.
        ResourceError: nothing can be written there.
    """

    def __init__(self, folder: Path, name: str, work: str) -> None:
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise ResourceError(
                f"cannot write ({error.strerror})", file=path, remedy="Check the access rights"
            ) from error
        self.is_held = self._taken(folder, work)
        self.left_by = self._said()
        _open_files.add(self._file)
        try:
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()} (since {datetime.now():%Y-%m-%d %H:%M})")
            self._file.flush()
        except OSError as error:
            self._close()
            raise ResourceError(
                f"cannot write ({error.strerror})", file=path, remedy="Make room on the disk, or check the rights"
            ) from error

    def release(self) -> None:
        """Let others work on the folder. The file stays: who removed it could remove that of the next one."""
        with suppress(OSError):
            self._file.truncate(0)
        self._close()

    def _close(self) -> None:
        _open_files.discard(self._file)
        with suppress(OSError):  # what could not be written before is tried once more
            self._file.close()

    def _taken(self, folder: Path, work: str) -> bool:
        try:
            _lock(self._file)
        except OSError as error:
            if error.errno not in _HELD:
                return False
            holder = self._said() or "another process"
            self._close()
            raise FolderIsHeld(
                f"{holder} is at work on {work}", file=folder, remedy="Wait for it or end it, or name another output"
            ) from error
        return True

    def _said(self) -> str:
        self._file.seek(0)
        return self._file.read().strip()


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        file.seek(_FAR_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _drop_in_child() -> None:
    """A fork holds the lock as well, and would still do so for a while after its parent was killed."""
    for file in list(_open_files):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_in_child)
