"""How far a row is and how long it will take, on one line of standard error."""

from __future__ import annotations

import time
from typing import TextIO

EVERY_S = 1.0


class Progress:
    """Counts the cases of a row.

    Args:
        name: of the row.
        wanted: cases altogether.
        done: cases that an earlier process has tried.
        stream: where to say it; over itself on a terminal.
    """

    def __init__(self, name: str, wanted: int, done: int, stream: TextIO) -> None:
        self._name, self._wanted, self._before, self._stream = name, wanted, done, stream
        self._done, self._start_s, self._told_s = done, time.monotonic(), 0.0

    def one(self) -> None:
        """Another case has ended."""
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self._say()

    def end(self) -> None:
        """Leave the last count on the terminal."""
        self._say()
        self._stream.write("\n")

    def left_s(self) -> float:
        """Seconds until the end at the pace so far."""
        tried = self._done - self._before
        return (time.monotonic() - self._start_s) / tried * (self._wanted - self._done) if tried else 0.0

    def _say(self) -> None:
        begin = "\r" if self._stream.isatty() else "\n"
        taken_s = time.monotonic() - self._start_s
        self._stream.write(
            f"{begin}{self._name}: {self._done} of {self._wanted}, {taken_s:.0f} s, about {self.left_s():.0f} s left "
        )
        self._stream.flush()
