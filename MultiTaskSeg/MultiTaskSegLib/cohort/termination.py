"""A run that is asked to end (SIGTERM), as by a scheduler, ends as one that is interrupted at the keyboard does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def termination_as_interruption() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt.

    To be entered when Ray runs: it takes the signal for itself, and aborts with a page of addresses (seen with 2.60).
    """
    if threading.current_thread() is not threading.main_thread():  # no other may take signals
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
