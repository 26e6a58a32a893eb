"""How far a cohort is, on a line of the terminal: counts, pace and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO

REWRITTEN_S, WRITTEN_S = 0.5, 60.0  # how often, on a terminal and into a file
CHARACTERS = 100


class CohortProgress:
    """Counts cases.

    Args:
        stream: where the line goes; it is rewritten where that is a terminal.
        count: of all cases.
        finished: of those that had a result before.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, count: int, finished: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._count, self._before = count, finished
        self.done = self.failed = 0
        self._began_s = self._shown_s = clock()

    def line(self, workers: int) -> str:
        """What is known now; ``workers`` have a case."""
        through = self.done + self.failed
        left = self._count - self._before - through
        text = f"{self._before + through} of {self._count} cases"
        text += f", {self.failed} failed" if self.failed else ""
        text += f", {workers} at work"
        if not through:
            return text if workers else f"{text}, waiting for workers"
        pace_s = (self._clock() - self._began_s) / through
        return f"{text}, {pace_s:.2f} s per case, {timedelta(seconds=round(pace_s * left))} left"

    def show(self, workers: int) -> None:
        """Write the line when it is time."""
        is_terminal = self._stream.isatty()
        now_s = self._clock()
        if now_s - self._shown_s < (REWRITTEN_S if is_terminal else WRITTEN_S):
            return
        self._shown_s = now_s
        text = self.line(workers)[:CHARACTERS]
        self._stream.write(f"\r{text:{CHARACTERS}}\r" if is_terminal else f"{text}\n")
        self._stream.flush()

    def wipe(self) -> None:
        """Leave nothing of the line on a terminal."""
        if self._stream.isatty():
            self._stream.write(" " * CHARACTERS + "\r")
            self._stream.flush()
