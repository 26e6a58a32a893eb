"""The C library's allocator: freed memory goes back to the system when it is told to."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Found = TypeVar("Found")


def in_own_heap(function: Callable[[], Found]) -> Found:
    """What a function returns that leaves much behind, small and for long, between what it gives back.

    In the heap of this thread that would lie between all large blocks to come: runs would take up to twice the memory.
    A thread of its own has a heap of its own (glibc: an arena).

    Raises:
        Exception: as the function.
    """
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(function).result()


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
