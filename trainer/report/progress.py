"""Progress of long work, with the time that is left, on a text stream."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from MultiTaskSegLib.runtime.machine.native_output import console_lock

TERMINAL_INTERVAL_S = 0.2
LOG_INTERVAL_S = 10.0


def duration_text(seconds: float) -> str:
    """A duration in at most two units: `42 s`, `3 min 05 s`, `2 h 07 min`.

    Args:
        seconds: length in seconds; negative lengths count as zero.
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Reports how far a long job is and how long the rest will take.

    On a terminal one line is rewritten in place; elsewhere (log files, CI) a full line is written at most every
    `LOG_INTERVAL_S` seconds, so that a log stays readable. The first and the last report are never held back. Several
    threads may report.

    Args:
        total: amount of work in any unit (steps, cases, seconds); must be positive. 1 means that `done` is a share
            of the whole, of which only the percentage is shown.
        what: short name of the work, written in front of every report.
        stream: where reports go; standard error by default.
        clock: seconds from an arbitrary origin, never running backwards.

    Raises:
        ValueError: `total` is not a positive number.
    """

    def __init__(
        self, total: float, what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not total > 0:
            raise ValueError(f"total must be positive, got {total}")
        self._total = float(total)
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._is_terminal = bool(getattr(self._stream, "isatty", lambda: False)())
        self._started_s = clock()
        self._start_done = 0.0
        self._last_report_s: float | None = None
        self._line_width = 0
        self._is_finished = False

    def start_from(self, done: float) -> None:
        """Says that `done` units were finished earlier, so that resumed work does not flatter the estimate."""
        self._start_done = float(done)

    def remaining_s(self, done: float) -> float | None:
        """Seconds left at the mean speed so far; None while nothing was done yet."""
        worked = done - self._start_done
        if worked <= 0:
            return None
        return (self._clock() - self._started_s) * max(0.0, self._total - done) / worked

    def update(self, done: float, note: str = "", left_s: float | None = None) -> None:
        """Reports that `done` of the total is finished.

        Args:
            done: units finished since the very beginning (not since the last call).
            note: short text shown behind the estimate, such as the loss.
            left_s: how long the rest takes, for who knows better than the mean speed so far.
        """
        # While another thread reads an image, whatever is written would be taken for a message of the reader.
        with console_lock:
            now_s = self._clock()
            is_last = done >= self._total
            if self._is_finished or not (is_last or self._is_due(now_s)):
                return
            self._last_report_s = now_s
            self._is_finished = is_last
            self._write(self._line(done, note, self.remaining_s(done) if left_s is None else left_s), is_last)

    def close(self) -> None:
        """Ends the line of a terminal when the work stops before its total. Safe to call twice."""
        if self._is_terminal and self._line_width and not self._is_finished:
            self._stream.write("\n")
            self._stream.flush()
        self._is_finished = True

    def _is_due(self, now_s: float) -> bool:
        interval_s = TERMINAL_INTERVAL_S if self._is_terminal else LOG_INTERVAL_S
        return self._last_report_s is None or now_s - self._last_report_s >= interval_s

    def _line(self, done: float, note: str, left_s: float | None) -> str:
        percent = min(100, int(100 * done / self._total))
        text = f"{self._what}: {percent:3d} %"
        if self._total != 1:
            text += f" ({done:g}/{self._total:g})"
        if done >= self._total:
            text += f", took {duration_text(self._clock() - self._started_s)}"
        else:
            text += ", time left unknown" if left_s is None else f", {duration_text(left_s)} left"
        return f"{text}, {note}" if note else text

    def _write(self, line: str, is_last: bool) -> None:
        if self._is_terminal:
            # Blanks wipe what a longer earlier line left behind; escape codes would litter dumb terminals.
            self._stream.write("\r" + line.ljust(self._line_width) + ("\n" if is_last else ""))
            self._line_width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
