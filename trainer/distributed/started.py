"""Whether this process is one of several; asked by every command, so that nothing of torch is imported here."""

from __future__ import annotations

import os
from collections.abc import Mapping

# What torchrun tells every process that it starts.
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def started_together(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``torchrun``, or whoever speaks like it, has started this process.

    >>> started_together({"RANK": "0", "WORLD_SIZE": "2"})
    False
    """
    return all(environment.get(name) for name in PLACE)
