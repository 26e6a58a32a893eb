"""What compiled image libraries print, kept away from the user's terminal."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# File descriptors belong to the whole process, so two captures at once would restore each other's files.
console_lock = threading.RLock()

_ADDRESS = re.compile(r"\w+ ?\(0x[0-9a-fA-F]+\): ?")
_LOCATION = re.compile(r"^(WARNING|ERROR): In \S+, line \d+$")


@contextmanager
def captured_native_output() -> Iterator[list[str]]:
    """Redirect file descriptors 1 and 2 while compiled code runs; yield a list filled with its lines afterwards.

    libjpeg, libpng, MetaIO and GDCM report damaged files only by printing, and then return success. The lines are
    therefore evidence as well as noise. Threads that write to the terminal should hold `console_lock` meanwhile.

    >>> with captured_native_output() as lines:
    ...     _ = os.write(2, b"Premature end of JPEG file\\n")
    >>> lines
    ['Premature end of JPEG file']
    """
    lines: list[str] = []
    with console_lock, tempfile.TemporaryFile() as sink:
        _flush_compiled_code()
        saved = _redirect_to(sink.fileno())
        try:
            yield lines
        finally:
            _flush_compiled_code()
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)
            sink.seek(0)
            lines.extend(_sentences(sink.read().decode("utf-8", errors="replace")))


def _flush_compiled_code() -> None:
    """Write what the C library still holds back: where the standard output is no terminal it keeps whole blocks, and
    what a library printed would appear when the process ends, with nobody left who asked."""
    try:
        library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
        library.fflush(_standard_output(library))
    except (OSError, AttributeError, ValueError):  # a system with another C library, whose blocks nobody can reach
        return


def _standard_output(library: ctypes.CDLL) -> ctypes.c_void_p:
    """The C library's own; its standard error keeps nothing back.

    To flush all streams is to wait for each, also for one from which another thread is reading, such as a prompt.
    """
    if os.name == "nt":
        stream = library.__acrt_iob_func
        stream.restype = ctypes.c_void_p
        return ctypes.c_void_p(stream(1))
    return ctypes.c_void_p.in_dll(library, {"darwin": "__stdoutp"}.get(sys.platform, "stdout"))


def _redirect_to(sink: int) -> dict[int, int]:
    saved: dict[int, int] = {}
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            if stream is not None:
                stream.flush()
            saved[descriptor] = os.dup(descriptor)
            os.dup2(sink, descriptor)
        except (OSError, ValueError):  # a process without a console has nothing to redirect
            continue
    return saved


def _sentences(text: str) -> list[str]:
    lines = (_ADDRESS.sub("", line.strip()) for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not _LOCATION.match(line)))
