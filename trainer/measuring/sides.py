"""The cases of one task that measuring after a training can look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.case_cache import PreparedCase


@dataclass(frozen=True)
class Sides:
    """Cases of one task.

    Attributes:
        known: images that the network knows, with labels or without.
        held_out: never trained on.
        has_labels: whether the task segments anything.
    """

    known: Sequence[PreparedCase]
    held_out: Sequence[PreparedCase]
    has_labels: bool

    @property
    def voxels(self) -> tuple[float, float]:
        """Of a known and of a held-out case on the network's grid, on average."""
        return _mean_voxels(self.known), _mean_voxels(self.held_out)


def _mean_voxels(cases: Sequence[PreparedCase]) -> float:
    return float(np.mean([case.voxels.size for case in cases])) if cases else 0.0
