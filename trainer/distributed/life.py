"""One life of the processes of a training: those that were started together, and none that was restarted since."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # its own name is not said to be exported
from torch.distributed.distributed_c10d import Store

ROUND = "multitaskseg life"
TRIAL_S = 2.0
PAUSE_S = 0.2


class Life:
    """Its name is known to the processes of this life alone.

    The store of torchrun outlives the processes, and with it what those before them have written there, such as the
    addresses at which they were found. The number of restarts tells lives not apart, for each machine counts its own.
    So the first process listens at a port as long as it lives, and a name whose port nobody answers is an old one.

    Args:
        store: that all processes see.
        rank: of this one.
        environment: what ``torchrun`` has told it.
        patience: how long to wait for the first process.

    Raises:
        RuntimeError: the first process is not found.
    """

    def __init__(self, store: Store, rank: int, environment: Mapping[str, str], patience: timedelta) -> None:
        address = environment["MASTER_ADDR"]
        # Whoever found the store of another run at its port must not find the life of that run.
        place = f"{ROUND} {environment.get('TORCHELASTIC_RUN_ID', '')}"
        self._own: TCPStore | None = None
        if rank == 0:
            self._own = TCPStore(address, 0, is_master=True, wait_for_workers=False, timeout=patience)
            self.name = f"{self._own.port} {uuid.uuid4().hex}"
            self._own.set(ROUND, self.name)
            store.set(place, self.name)
        else:
            self.name = _living_name(store, place, address, patience)

    def end(self) -> None:
        """The first process listens no more."""
        self._own = None


def _living_name(store: Store, place: str, address: str, patience: timedelta) -> str:
    deadline_s = time.monotonic() + patience.total_seconds()
    while time.monotonic() < deadline_s:
        name: str = store.get(place).decode()
        if _answers(address, int(name.split()[0])):
            first = TCPStore(address, int(name.split()[0]), is_master=False, timeout=patience)
            if first.get(ROUND).decode() == name:
                return name
        time.sleep(PAUSE_S)
    raise RuntimeError("the first process is not found")


def _answers(address: str, port: int) -> bool:
    """Whether somebody listens there; asked in silence, for torch would print where it failed."""
    try:
        with socket.create_connection((address, port), timeout=TRIAL_S):
            return True
    except OSError:
        return False
