"""When whoever reads our output has gone (``| head``): no error of ours, and nothing more to say to them."""

from __future__ import annotations

import os
import sys

EXIT_CLOSED_PIPE = 141
"""What a shell reports of a process that wrote into a closed pipe: 128 + SIGPIPE."""


def flush_output() -> None:
    """Write what is still held back, while somebody can hear that it fails.

    Raises:
        OSError: standard output cannot be written; `BrokenPipeError` where nobody reads it any more.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def leave_closed_pipe() -> int:
    """Let the interpreter flush its output into nothing, which would fail once more, and give the exit code."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere.fileno(), stream.fileno())
    return EXIT_CLOSED_PIPE
