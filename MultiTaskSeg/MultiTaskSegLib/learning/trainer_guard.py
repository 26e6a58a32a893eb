"""Runs the trainer as its child, and ends it when whoever started this is gone, however that ended.

A file of its own for any Python: it needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

TASKKILL_LIMIT_S = 10.0


def main(arguments: Sequence[str]) -> int:
    """Run this Python with the arguments; its exit status."""
    child = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
    return child.wait()


def _end_with_parent(child: subprocess.Popen[bytes]) -> None:
    # Nothing is ever written there: the end comes when the other side is closed, or its process is no more. Not through
    # sys.stdin, whose lock this thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    if sys.platform == "win32":
        end_on_windows(child)
    else:
        os.killpg(os.getpgid(0), signal.SIGKILL)  # this process was started as the first of its group


def end_on_windows(child: subprocess.Popen[bytes]) -> None:
    """End the trainer with what it has started; where ``taskkill`` hangs or is missing, the trainer alone."""
    command = ["taskkill", "/PID", str(child.pid), "/T", "/F"]
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        subprocess.run(command, capture_output=True, check=False, timeout=TASKKILL_LIMIT_S)
    child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
