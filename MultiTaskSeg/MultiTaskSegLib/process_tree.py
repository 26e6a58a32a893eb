"""A child process that can be ended together with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

END_TIMEOUT_S = 2.0


def start_tree(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
    """Start ``command`` in ``folder`` as the root of its own process tree, with pipes for all three streams.

    Raises:
        OSError: the executable cannot be started.
    """
    options: dict[str, object] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=folder,
        encoding="utf-8",
        errors="replace",
        bufsize=1,
        **options,  # type: ignore[call-overload]
    )


def end_tree(process: subprocess.Popen[str]) -> None:
    """End the process and all its descendants at once, and wait until they are gone. Harmless when already ended."""
    if os.name == "nt":
        if process.poll() is None:
            # Where it hangs or is missing, the root at least is ended below.
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                subprocess.run(
                    ["taskkill", "/PID", str(process.pid), "/T", "/F"],
                    capture_output=True,
                    check=False,
                    creationflags=subprocess.CREATE_NO_WINDOW,
                    timeout=END_TIMEOUT_S,
                )
    else:
        # Also after the root has died: a helper that it started keeps the group alive.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
