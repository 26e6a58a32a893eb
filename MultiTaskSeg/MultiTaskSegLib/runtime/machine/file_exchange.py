"""Putting finished files in the place of earlier ones: all of them, or none."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

PATIENCE_S = 3.0
PAUSE_S = 0.05


def exchange(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, in the place of what is there; wait where another program has it open.

    Windows does not replace a file that is open, and virus scanners open new files for a moment.

    Raises:
        OSError: it cannot be done; both files are as they were.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(source), None, str(target))
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if time.monotonic() >= end_s:
                raise
            time.sleep(PAUSE_S)


def exchange_all(sources: Sequence[Path], directory: Path, aside: Path) -> None:
    """Rename all ``sources`` into ``directory``; where one cannot be, those before it are taken back.

    Args:
        sources: finished files.
        directory: where they belong.
        aside: an empty folder on the same disk, for what was there before; may be deleted afterwards.

    Raises:
        OSError: one cannot be put in its place (`filename2` is the place); the directory is as it was.
    """
    with ExitStack() as undo:
        for source in sources:
            target = directory / source.name
            before = _kept(target, aside)
            exchange(source, target)
            if before is None:
                undo.callback(target.unlink)
            else:
                undo.callback(exchange, before, target)
        undo.pop_all()


def _kept(target: Path, aside: Path) -> Path | None:
    """A second name of the file there, so that at no time there is none; a copy where disks know no such names."""
    if not target.is_file():
        return None
    kept = aside / target.name
    try:
        os.link(target, kept)
    except OSError:
        shutil.copy2(target, kept)
    return kept
