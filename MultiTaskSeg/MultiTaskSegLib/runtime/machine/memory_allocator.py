"""The C library's allocator: freed memory goes back to the system when it is told to."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Found = TypeVar("Found")


def in_own_heap(function: Callable[[], Found]) -> Found:
    """What a function returns that leaves much behind, small and for long, between what it gives back.

    In the heap of this thread that would lie between all large blocks to come: runs would take up to twice the memory.
    A thread of its own has a heap of its own (glibc: an arena, unless MALLOC_ARENA_MAX forbids it). Where no thread can
    be started, the function runs in this one; Ctrl+C does not wait for it, but ends it.

    Raises:
        BaseException: as the function.
    """
    outcome: Future[Found] = Future()
    # The process ends after it: a thread that is within compiled code then would end the process by a signal.
    thread = threading.Thread(target=_run, args=(function, outcome), daemon=False)
    try:
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter is about to end
            return function()
        return outcome.result()
    except BaseException:
        # What has not begun never will; the rest is told to end. Ctrl+C may come while the thread is being started.
        if not outcome.cancel() and not outcome.done():
            _interrupt(thread)
        raise
    finally:
        # An error leads to this frame, and would stay with all that it leads to.
        del outcome


def _run(function: Callable[[], Found], outcome: Future[Found]) -> None:
    """In the thread; whatever the function raises belongs to the caller."""
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        outcome.set_result(function())
    except BaseException as error:
        outcome.set_exception(error)
    finally:
        del outcome


def _interrupt(thread: threading.Thread) -> None:
    """As Ctrl+C does the main thread: when what it is within of compiled code is done."""
    number, kind = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, kind)


def release_freed_memory() -> bool:
    """Hand freed memory back to the system, after a long job in a process that stays.

    Returns:
        Whether there was any.
    """
    libc = glibc()
    return libc is not None and bool(libc.malloc_trim(0))


def glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
