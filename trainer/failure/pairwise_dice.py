"""How far several segmentations of one image agree: the best known sign of a failure, at the cost of several passes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.overlap import dice_per_label, mean_defined


def pairwise_dice(members: Sequence[NDArray[np.integer]], values: Sequence[int]) -> float:
    """Mean Dice of all pairs of label maps: over labels that a pair shows, then over pairs (Zenk et al., Medical Image
    Analysis 101, 2025, section 3.3, after Roy et al., NeuroImage 195, 2019).

    Args:
        members: label maps ``(Z, Y, X)`` on one grid, two or more.
        values: of the labels.

    Returns:
        0 to 1; NaN where no member has found anything.
    """
    pairs = (dice_per_label(one, other, tuple(values)) for one, other in combinations(members, 2))
    return mean_defined([mean_defined(list(found.values())) for found in pairs])
