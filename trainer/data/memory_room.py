"""Work that needs memory, side by side only as long as all of it fits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from MultiTaskSegLib.runtime.machine.host_memory import available_bytes

# The rest is for what else runs, here and beside.
USABLE_SHARE = 0.5


class MemoryRoom:
    """Lets work begin when there is room for it beside what goes on; a piece that is larger than the room goes alone.

    Args:
        room_bytes: for all work together; None: there is no limit.
    """

    def __init__(self, room_bytes: int | None) -> None:
        self._room_bytes, self._taken_bytes = room_bytes, 0
        self._freed = threading.Condition()

    @classmethod
    def of_machine(cls) -> MemoryRoom:
        """Half of the memory that can be taken now."""
        free = available_bytes()
        return cls(None if free is None else int(USABLE_SHARE * free))

    @contextmanager
    def taken(self, needed_bytes: int) -> Iterator[None]:
        """Wait until there is room, and take it while the context lasts."""
        with self._freed:
            self._freed.wait_for(lambda: self._fits(needed_bytes))
            self._taken_bytes += needed_bytes
        try:
            yield
        finally:
            with self._freed:
                self._taken_bytes -= needed_bytes
                self._freed.notify_all()

    def _fits(self, needed_bytes: int) -> bool:
        return not self._taken_bytes or self._room_bytes is None or self._taken_bytes + needed_bytes <= self._room_bytes
