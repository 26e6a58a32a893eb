"""Work that needs memory, side by side only as long as all of it fits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from MultiTaskSegLib.runtime.machine.host_memory import available_bytes
from trainer.data.memory_ledger import MemoryLedger

# The rest is for what else runs, here and beside.
USABLE_SHARE = 0.5
# How often other processes are asked, and after how long a process that does nothing else goes on all the same: theirs
# may be pieces without end.
ASK_EVERY_S = 0.2
PATIENCE_S = 60.0


class MemoryRoom:
    """Lets work begin when there is room for it beside what goes on; a piece that is larger than the room goes alone.

    Args:
        room_bytes: for all work together; None: there is no limit.
        ledger: what other processes do in the same room; None: they do not count.
    """

    def __init__(self, room_bytes: int | None, ledger: MemoryLedger | None = None) -> None:
        self._room_bytes, self._taken_bytes, self._ledger = room_bytes, 0, ledger
        self._freed = threading.Condition()

    @classmethod
    @contextmanager
    def of_machine(cls) -> Iterator[MemoryRoom]:
        """Half of the memory that can be taken now, shared with all processes of this user that work in such a room."""
        ledger = MemoryLedger()
        free = available_bytes()
        try:
            yield cls(None if free is None else int(USABLE_SHARE * (free + ledger.others_bytes())), ledger)
        finally:
            ledger.close()

    @contextmanager
    def taken(self, needed_bytes: int) -> Iterator[None]:
        """Wait until there is room, and take it while the context lasts."""
        with self._freed:
            self._wait_for(needed_bytes)
        try:
            yield
        finally:
            with self._freed:
                self._take(-needed_bytes)
                self._freed.notify_all()

    def _wait_for(self, needed_bytes: int) -> None:
        self._freed.wait_for(lambda: self._fits(needed_bytes))
        begun_s = time.monotonic()
        while True:
            # Said first: of two processes that begin at once each then sees the other.
            self._take(needed_bytes)
            is_alone = self._taken_bytes == needed_bytes
            if self._is_free(is_alone) or (is_alone and time.monotonic() - begun_s > PATIENCE_S):
                return
            self._take(-needed_bytes)
            self._freed.wait(ASK_EVERY_S)
            self._freed.wait_for(lambda: self._fits(needed_bytes))

    def _take(self, more_bytes: int) -> None:
        self._taken_bytes += more_bytes
        if self._ledger is not None and self._room_bytes is not None:
            self._ledger.claim(self._taken_bytes)

    def _fits(self, needed_bytes: int) -> bool:
        return not self._taken_bytes or self._room_bytes is None or self._taken_bytes + needed_bytes <= self._room_bytes

    def _is_free(self, is_alone: bool) -> bool:
        """Whether what is taken has room beside other processes."""
        if self._ledger is None or self._room_bytes is None:
            return True
        others_bytes = self._ledger.others_bytes()
        return others_bytes + self._taken_bytes <= self._room_bytes or (is_alone and not others_bytes)
