"""Is the head of a Ray cluster still there? Ray itself ends the program without a word when it is not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from MultiTaskSegLib.runtime.errors import ResourceError

ASKED_EVERY_S = 5.0
ANSWER_LIMIT_S = 2.0
# Ray ends the program after 60 s; until then tables must be written. A head may be started again meanwhile.
SILENT_LIMIT_S = 30.0


class RayHead:
    """Where the head listens.

    Args:
        address: ``host:port``.
        clock: seconds.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.address, self._clock = address, clock
        host, _, port = address.rpartition(":")
        self._place = host.strip("[]"), int(port)
        self._asked_s = clock()
        self._silent_since_s: float | None = None

    def require(self) -> None:
        """Ask it from time to time.

        Raises:
            ResourceError: it has been silent for long.
        """
        if self._clock() - self._asked_s < ASKED_EVERY_S:
            return
        self._asked_s = self._clock()
        if self.answers():
            self._silent_since_s = None
            return
        # From the first question without an answer: a pause of this program is none of the head's.
        if self._silent_since_s is None:
            self._silent_since_s = self._asked_s
        if self._clock() - self._silent_since_s >= SILENT_LIMIT_S:
            raise ResourceError(
                f"the head of the Ray cluster at {self.address} has not answered for {SILENT_LIMIT_S:.0f} s",
                remedy="Start the cluster again; what is finished stays, and the same call goes on",
            )

    def answers(self) -> bool:
        """Whether it takes a connection now."""
        try:
            socket.create_connection(self._place, timeout=ANSWER_LIMIT_S).close()
        except OSError:
            return False
        return True
