"""Lines of requests as they come from the parent, whose end is the end of this process."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

PARENT_INTERVAL_S = 1.0
READ_BYTES = 1 << 16
# So long nobody has asked for anything when it is time to let go of what only waits.
REST_S = 60.0


def lines_of(descriptor: int) -> Iterator[bytes]:
    """Lines as they come. A buffered file would be locked by the thread that waits for more when the process ends."""
    rest = b""
    while chunk := os.read(descriptor, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    yield rest


def remove_scratch(folder: Path) -> None:
    """Remove the private folder, which is left first: Windows removes none that a process works in."""
    with contextlib.suppress(OSError):
        os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)


def end(scratch: str | None) -> NoReturn:
    """Nobody is left to read an answer, so a request under way is not worth finishing."""
    if scratch:
        remove_scratch(Path(scratch))
    os._exit(0)


def requests(stdin: Iterable[bytes], scratch: str | None, parent: int, rest: Callable[[], None]) -> Iterable[str]:
    """Request lines, read by a thread so that the end of ``parent`` is seen while a request is being answered.

    The pipe usually ends with the parent. Where something else that the parent has started holds it open, the parent
    of this process becomes another one; Windows does not do that, but there no child inherits a pipe by accident.
    ``rest`` is called when there was no request for a while.
    """
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        """Fill the queue until the parent closes the pipe. What is no UTF-8 is answered like any other nonsense."""
        try:
            for line in stdin:
                lines.put(line.decode("utf-8", "replace"))
        finally:
            end(scratch)

    def watch() -> None:
        """Look from time to time whether the parent is still there."""
        while os.getppid() == parent:
            time.sleep(PARENT_INTERVAL_S)
        end(scratch)

    threading.Thread(target=read, name="requests", daemon=True).start()
    threading.Thread(target=watch, name="parent", daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=REST_S)
        except queue.Empty:
            rest()
            continue
        if line.strip():
            yield line
