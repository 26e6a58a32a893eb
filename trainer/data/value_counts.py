"""How often each value occurs in many images, of which one at a time is in memory."""

from __future__ import annotations

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray


class ValueCounts:
    """Percentiles of all values together, as exact as those of one array with all of them."""

    def __init__(self) -> None:
        self._values, self._counts = np.empty(0), np.empty(0, dtype=np.int64)

    @property
    def total(self) -> int:
        """How many values there are."""
        return int(self._counts.sum())

    def add(self, values: NDArray[np.floating]) -> None:
        """Count further values, ``(n,)``."""
        own, times = np.unique(values, return_counts=True)
        every, place = np.unique(np.concatenate([self._values, own]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self._counts, times]), minlength=len(every))
        self._values, self._counts = every, counts.astype(np.int64)

    def percentile(self, share: float) -> float:
        """The value below which a share (0 to 100) of the values lies, linear between two of them; as
        `numpy.percentile`.

        Raises:
            ValueError: there is no value.
        """
        if not self.total:
            raise ValueError("no value was counted")
        place = (self.total - 1) * share / 100
        reached = np.cumsum(self._counts)
        low, high = (self._values[np.searchsorted(reached, at, side="right")] for at in (floor(place), ceil(place)))
        return float(low + (high - low) * (place - floor(place)))
