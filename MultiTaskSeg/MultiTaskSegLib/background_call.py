"""Work of some seconds in a thread of its own, so that whoever asked for it can go on and pick the outcome up later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

STOP_TIMEOUT_S = 1.0


class BackgroundCall:
    """A function that runs in a thread. For reading and writing only: while it computes, it would slow the caller."""

    def __init__(self, function: Callable[[threading.Event], Any]) -> None:
        """Start at once; ``function`` is given an event that is set when its outcome is no longer wanted."""
        self._function = function
        self._stop = threading.Event()
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

    def stop(self) -> None:
        """Ask the function to end and wait for it, not longer than about a second."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._value = self._function(self._stop)
        except Exception as error:  # whatever it is, it belongs to whoever asks for the outcome
            self._error = error
