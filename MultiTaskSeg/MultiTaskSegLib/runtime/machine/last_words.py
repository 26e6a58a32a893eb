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

# A batch system whose time is up; a terminal that is closed, which Windows does not tell.
REQUESTS = ("SIGTERM", "SIGHUP")


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end: a batch system whose time is up, a container that is stopped."""


@contextmanager
def last_words() -> Iterator[None]:
    """Within the block, a crash in compiled code says where it was, and a request to end is raised as `Terminated`.

    Without it both end the process in silence: a crash while an image is read is even kept from the terminal, because
    what compiled readers print is taken for messages about the image. So the words go to a copy of standard error.
    """
    copy = _crashes_told()
    previous = _requests_raised()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
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


def _requests_raised() -> dict[int, Any]:
    """The handlers before; none where this thread may not set any, or where a request is to be passed over (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in REQUESTS if hasattr(signal, name)]
    return {n: signal.signal(n, _raise) for n in numbers if signal.getsignal(n) not in (signal.SIG_IGN, None)}


def _raise(number: int, frame: object) -> None:
    raise Terminated
