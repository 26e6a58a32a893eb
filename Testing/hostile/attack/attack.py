"""What one attack is, and what counts as its success: code that runs, a file elsewhere, words that move the cursor."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANARY = "canary"
CODE = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "subprocess.Popen")
# Notes on which process has planned with how much memory.
OWN_TEMPORARY = (os.path.join(tempfile.gettempdir(), "multitaskseg-memory-"),)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = (
    "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "shutil.rmtree", "os.mkdir",
    "os.truncate", "os.utime", "os.chown",
)  # fmt: skip

# Inside of a folder that was opened before, as when a whole tree is removed, which is an event of its own.
BY_HANDLE, NO_HANDLE = ("os.remove", "os.rmdir"), -1


@dataclass(frozen=True)
class Attack:
    """One.

    Attributes:
        name: what is attacked, and how.
        act: given an empty folder, makes the wicked file in its ``in`` and has the product use it with ``out`` for
            results; gives back what the product says.
        is_refused: whether it has to be refused; others may also be used harmlessly.
    """

    name: str
    act: Callable[[Path], str]
    is_refused: bool = True


class Malicious:
    """Unpickling this would run a command that makes the canary."""

    def __init__(self, folder: Path, call: Callable[..., Any] = os.system) -> None:
        self.call, self.canary = call, folder / CANARY

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Code in data."""
        return self.call, (f"touch '{self.canary}'",)


_watch: tuple[Path, list[str]] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is None:
        return
    allowed, heard = _watch
    if event in CODE:
        heard.append(f"{event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        # Of a folder only temporary files that never have a name are opened so.
        if not isinstance(arguments[0], int) and not os.path.isdir(arguments[0]):
            _outside(event, arguments[:1], allowed, heard)
    elif event in CHANGING and (event not in BY_HANDLE or arguments[1] == NO_HANDLE):
        _outside(event, arguments[: 2 if event == "os.rename" else 1], allowed, heard)


def _outside(event: str, paths: tuple[Any, ...], allowed: Path, heard: list[str]) -> None:
    for path in paths:
        if not isinstance(path, (str, bytes, os.PathLike)):
            continue  # a handle of a file that was opened before
        place = os.path.abspath(os.fsdecode(path))
        inside = (str(allowed), os.path.realpath(allowed))
        # A folder beside it whose name only begins alike is elsewhere.
        is_inside = place in inside or place.startswith(tuple(folder + os.sep for folder in inside))
        if not is_inside and place != os.devnull and not place.startswith(OWN_TEMPORARY):
            heard.append(f"{event} {place}")


# The interpreter has no way to take a hook away: it keeps nothing while nobody watches.
sys.addaudithook(_hear)


@contextmanager
def watched(allowed: Path) -> Iterator[list[str]]:
    """Every process that is started and every file that is changed outside of one folder meanwhile."""
    global _watch
    heard: list[str] = []
    _watch = (allowed, heard)
    try:
        yield heard
    finally:
        _watch = None
