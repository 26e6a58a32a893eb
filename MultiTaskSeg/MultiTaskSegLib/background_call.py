"""Work of some seconds in a thread of its own, so that whoever asked for it can go on and pick the outcome up later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from MultiTaskSegLib.runtime.errors import Cancelled

STOP_TIMEOUT_S = 1.0


class Stop(threading.Event):
    """Set when an outcome is no longer wanted; a function that has settled it can no longer be asked to stop."""

    def __init__(self) -> None:
        """Not asked for, and nothing settled."""
        super().__init__()
        self._deciding = threading.Lock()
        self._is_settled = False

    def settle(self) -> None:
        """From here on the outcome comes to be.

        Raises:
            Cancelled: nobody wants it any more.
        """
        with self._deciding:
            if self.is_set():
                raise Cancelled("the run was cancelled")
            self._is_settled = True

    def ask(self) -> bool:
        """Ask for it, if nothing is settled; whether that was in time."""
        with self._deciding:
            if not self._is_settled:
                self.set()
            return not self._is_settled


class BackgroundCall:
    """A function that runs in a thread. For reading and writing only: while it computes, it would slow the caller."""

    def __init__(self, function: Callable[[Stop], Any]) -> None:
        """Start at once; ``function`` is given an event that is set when its outcome is no longer wanted."""
        self._function = function
        self._stop = Stop()
        self._value: Any = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether there is an outcome."""
        return not self._thread.is_alive()

    def outcome(self) -> Any:
        """What the function returned; raises what it raised. Waits where it is not done."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value

    def stop(self) -> bool:
        """Ask the function to end and wait for it, not longer than about a second.

        Returns:
            Whether it was asked in time; not so where it has settled its outcome.
        """
        is_in_time = self._stop.ask()
        self._thread.join(STOP_TIMEOUT_S)
        return is_in_time

    def _run(self) -> None:
        try:
            self._value = self._function(self._stop)
        except Exception as error:  # whatever it is, it belongs to whoever asks for the outcome
            self._error = error
