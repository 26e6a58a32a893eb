"""CPU seconds of this process and of all its descendants, in a clock that can be stopped and started."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROCESSES = Path("/proc")


def used_cpu_s() -> float:
    """User and system seconds of this process, of children that have ended and, on Linux, of those that still run."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    running = _descendants(os.getpid()) if PROCESSES.is_dir() else iter(())
    return sum(one.ru_utime + one.ru_stime for one in used) + sum(_of_process(pid) for pid in running)


def _descendants(pid: int) -> Iterator[int]:
    for listed in PROCESSES.glob(f"{pid}/task/*/children"):
        try:
            children = [int(word) for word in listed.read_text().split()]
        except OSError:  # the thread has ended meanwhile
            continue
        for child in children:
            yield child
            yield from _descendants(child)


def _of_process(pid: int) -> float:
    """Seconds of a process and of its own ended children; 0 when it has just ended, the parent's figure has it then."""
    try:
        # The name, in brackets, may hold blanks; the 14th to 17th fields of the line are times.
        fields = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class CpuClock:
    """Adds up CPU seconds while it runs; what is not training is done while it stands."""

    def __init__(self) -> None:
        self._total_s = 0.0
        self._started_s: float | None = None

    @property
    def seconds(self) -> float:
        """CPU seconds so far."""
        return self._total_s + (0.0 if self._started_s is None else used_cpu_s() - self._started_s)

    def start(self) -> None:
        """Count from now on."""
        self._started_s = used_cpu_s()

    def stop(self) -> None:
        """Count no longer; stopping twice changes nothing."""
        self._total_s = self.seconds
        self._started_s = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A block whose work is not counted."""
        self.stop()
        try:
            yield
        finally:
            self.start()
