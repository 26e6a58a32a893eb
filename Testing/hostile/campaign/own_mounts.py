"""File systems that may not be written, or are full: seen by one thread alone, and gone with it. Linux, as root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from Testing.hostile.campaign.trial import NotHere

# From linux/sched.h and linux/mount.h.
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 1 << 14, 1 << 18
DISK_BYTES = 4 << 20
FILLER = ".filler"


def with_own_mounts(use: Callable[[], None]) -> None:
    """Call something in a thread whose mounts nobody else sees.

    Raises:
        NotHere: this system does not let it have any.
    """

    def apart() -> None:
        """In the thread."""
        try:
            library = ctypes.CDLL(None, use_errno=True)
            is_apart = library.unshare(CLONE_NEWNS) == 0 and _mount(b"none", "/", None, MS_REC | MS_PRIVATE)
        except (AttributeError, TypeError, OSError) as error:
            raise NotHere("this system has no mounts of one thread") from error
        if not is_apart:
            raise NotHere("only root on Linux can mount")
        use()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(apart).result()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder lies on a file system that may only be read."""
    here = os.fsencode(folder)
    _require(_mount(here, folder, None, MS_BIND) and _mount(here, folder, None, MS_BIND | MS_REMOUNT | MS_RDONLY))
    try:
        yield
    finally:
        ctypes.CDLL(None).umount2(here, 2)


def small_disk(folder: Path) -> None:
    """From now on the folder is a disk of its own."""
    _require(_mount(b"tmpfs", folder, b"tmpfs", 0, f"size={DISK_BYTES}".encode()))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not another byte fits on the disk of the folder."""
    try:
        with (folder / FILLER).open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
    except OSError:
        yield
    finally:
        (folder / FILLER).unlink()


def _mount(source: bytes, target: str | Path, kind: bytes | None, flags: int, options: bytes | None = None) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    return library.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), options) == 0


def _require(is_mounted: bool) -> None:
    if not is_mounted:
        raise NotHere("this system does not let root mount")
