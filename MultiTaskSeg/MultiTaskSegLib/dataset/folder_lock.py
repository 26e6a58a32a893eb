"""One program at a time adds to a dataset: its files are read, changed and written as a whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from MultiTaskSegLib.runtime.errors import ResourceError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".adding.lock"
PATIENCE_S = 10.0
PAUSE_S = 0.05


@contextmanager
def locked(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Within, nobody else is within for the same folder, which is made where there is none.

    The system holds the lock, not a file: it lets go of it when the process ends, in whichever way, so that there are
    no stale ones. A folder that was made and stays empty is removed again.

    Raises:
        ResourceError: somebody else is within for longer than ``patience_s``, or the drive cannot lock.
        OSError: the folder cannot be written.
    """
    is_new = not folder.exists()
    try:
        stream = _taken(folder / LOCK, time.monotonic() + patience_s)
        try:
            yield
        finally:
            _let_go(stream, folder / LOCK)
    finally:
        if is_new:
            with suppress(OSError):  # of what came into it in the meantime nothing is lost
                folder.rmdir()


def _taken(path: Path, until_s: float) -> IO[bytes]:
    while (stream := _try(path)) is None:
        if time.monotonic() >= until_s:
            raise ResourceError(
                "another program is adding to this dataset just now; nothing was added",
                file=path.parent,
                remedy="Add again when it is done",
            )
        time.sleep(PAUSE_S)
    return stream


def _try(path: Path) -> IO[bytes] | None:
    """The file, locked; None where somebody else holds it, or has removed it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = path.open("ab")
    except FileNotFoundError:  # the folder went with who had made it
        return None
    try:
        _lock(stream)
        if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            return stream
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass
    except OSError as error:
        stream.close()
        raise ResourceError(
            f"the drive cannot keep two programs from adding to a dataset at once ({error.strerror})",
            file=path.parent,
            remedy="Move the dataset to another drive",
        ) from error
    stream.close()
    return None


def _lock(stream: IO[bytes]) -> None:
    """Raises a `BlockingIOError`, on Windows a `PermissionError`, where somebody else has locked it."""
    if sys.platform == "win32":
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _let_go(stream: IO[bytes], path: Path) -> None:
    if sys.platform == "win32":  # which removes no file that is open: who waits for it keeps it
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
        stream.close()
        with suppress(OSError):
            path.unlink()
    else:  # while it is locked: later, it might be another one, which somebody else has locked
        with suppress(OSError):  # one that stays keeps nobody out, and what was added is added all the same
            path.unlink(missing_ok=True)
        stream.close()
