"""A few of many, spread over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` items, evenly spaced."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round()
    return [items[int(index)] for index in chosen]
