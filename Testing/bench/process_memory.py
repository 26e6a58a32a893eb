"""Memory of this process above a moment in time."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEGABYTE = 2**20


class PeakMemory:
    """The largest resident memory from now on, in MB above what is resident now.

    Linux tells both. Elsewhere only the process's peak since its start is known, so that a peak below that of loading
    the model shows as 0.
    """

    def __init__(self) -> None:
        if STATUS.exists():
            CLEAR.write_text("5")
        self._start_mb = resident_mb() if STATUS.exists() else largest_mb()

    def above_start_mb(self) -> float:
        """Megabytes (2**20 bytes) above the start."""
        return (_status_mb("VmHWM") if STATUS.exists() else largest_mb()) - self._start_mb


def resident_mb() -> float:
    """Memory that is resident now."""
    return _status_mb("VmRSS")


def largest_mb() -> float:
    """Largest resident memory since the start of the process."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def _status_mb(key: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) * 1024 / MEGABYTE
    raise KeyError(key)
