"""The request that a benchmark process of its own is started with."""

from __future__ import annotations

import sys
from pathlib import Path


def usage(description: str | None) -> str:
    """One line from the first of a module's description."""
    first = (description or "").splitlines()[0]
    return f"usage: {first} The benchmark that starts this process writes the request."


def request_path(description: str | None) -> Path:
    """The only argument; without such a file the process ends with a line that tells its use."""
    if len(sys.argv) == 2 and Path(sys.argv[1]).is_file():
        return Path(sys.argv[1])
    raise SystemExit(usage(description))
