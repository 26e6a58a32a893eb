"""One run at a time works on a folder of results."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.machine.folder_lock import FolderLock

LOCK_FILE = ".cohort.lock"


def lock_results(folder: Path) -> FolderLock:
    """Held from the start of a run to its end.

    Args:
        folder: of the results; it is made where it is not there.

    Raises:
        ResourceError: another run holds it, nothing can be written there, or the file system knows no locks.
    """
    lock = FolderLock(folder, LOCK_FILE, "these results")
    if not lock.is_held:
        lock.release()
        raise ResourceError(
            "the file system knows no locks, so that two runs could work here at once",
            file=folder,
            remedy="Give a folder on another one",
        )
    return lock
