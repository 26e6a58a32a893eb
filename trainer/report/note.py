"""A word to whoever follows a run."""

from __future__ import annotations

import sys
from typing import TextIO

from MultiTaskSegLib.runtime.machine.native_output import console_lock


def write_note(text: str, stream: TextIO | None = None) -> None:
    """Write one line ``note: ...`` where progress goes, standard error by default."""
    target = sys.stderr if stream is None else stream
    with console_lock:
        target.write(f"note: {text}\n")
        target.flush()
