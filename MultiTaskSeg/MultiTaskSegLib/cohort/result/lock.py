"""One run at a time works on a folder of results; a run that ended, however it did, holds it no more."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from MultiTaskSegLib.runtime.errors import ResourceError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".cohort.lock"
_FAR_BYTE = 1 << 30  # Windows lets nobody read what is locked: a byte behind the text is


class FolderLock:
    """Held from the start of a run to its end; the system itself takes it from a process that is gone.

    Args:
        folder: of the results; it is made where it is not there.

    Raises:
        ResourceError: another run holds it, or nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise ResourceError(
                f"cannot write ({error.strerror})", file=path, remedy="Check the access rights"
            ) from error
        try:
            _lock(self._file)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise ResourceError(
                f"{holder} is at work on these results",
                file=folder,
                remedy="Wait for it or end it, or give another folder",
            ) from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} (since {datetime.now():%Y-%m-%d %H:%M})")
        self._file.flush()

    def release(self) -> None:
        """Let others work on the folder. The file stays: who removed it could remove that of the next one."""
        with suppress(OSError):
            self._file.truncate(0)
        self._file.close()


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        file.seek(_FAR_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
