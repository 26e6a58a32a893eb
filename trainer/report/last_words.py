"""That no run ends without a word: crashes of compiled code, and the request of the system to end."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end: a batch system whose time is up, a container that is stopped."""


@contextmanager
def last_words() -> Iterator[None]:
    """Within the block, a crash in compiled code says where it was, and a request to end is raised as `Terminated`.

    Without it both end the process in silence: a crash while an image is read is even kept from the terminal, because
    what compiled readers print is taken for messages about the image. So the words go to a copy of standard error.
    """
    copy = _crashes_told()
    previous = _request_raised()
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
        if copy is not None:
            faulthandler.disable()
            os.close(copy)


def _crashes_told() -> int | None:
    """File descriptor to which crashes are told; None where somebody else already does, or there is no console."""
    if faulthandler.is_enabled():
        return None
    with suppress(OSError, ValueError, AttributeError):
        copy = os.dup(sys.stderr.fileno())
        faulthandler.enable(copy)
        return copy
    return None


def _request_raised() -> Any:
    """The handler before; None where this thread may not set one."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, _raise)


def _raise(number: int, frame: object) -> None:
    raise Terminated
