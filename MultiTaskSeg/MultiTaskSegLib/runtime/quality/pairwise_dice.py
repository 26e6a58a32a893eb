"""How far several segmentations of one image agree: the best known sign of a failure, at the cost of several passes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.mask_overlap import mask_overlap, mean_defined


def pairwise_dice(members: Sequence[NDArray[np.integer]], values: Sequence[int]) -> float:
    """Mean Dice of all pairs of label maps: over labels that a pair shows, then over pairs (Zenk et al., Medical Image
    Analysis 101, 2025, section 3.3, after Roy et al., NeuroImage 195, 2019).

    Args:
        members: label maps ``(Z, Y, X)`` on one grid, two or more.
        values: of the labels.

    Returns:
        0 to 1; NaN where no member has found anything.
    """
    return mean_defined([mean_defined(list(found.values())) for found in _pairs(members, values)])


def pairwise_dice_by_label(members: Sequence[NDArray[np.integer]], values: Sequence[int]) -> dict[int, float]:
    """The same of each label: mean over the pairs that show it.

    Args:
        members, values: see `pairwise_dice`.

    Returns:
        by label value, 0 to 1; NaN of a label that no member has found.
    """
    pairs = _pairs(members, values)
    return {value: mean_defined([found[value] for found in pairs]) for value in values}


def _pairs(members: Sequence[NDArray[np.integer]], values: Sequence[int]) -> list[dict[int, float]]:
    return [
        {value: mask_overlap(one == value, other == value).dice for value in values}
        for one, other in combinations(members, 2)
    ]
