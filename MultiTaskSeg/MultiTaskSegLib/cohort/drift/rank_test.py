"""Permutation tests on ranks: is there a point in an order, or a group, from which values are others?

Both look at sums of ranks up to borders, and ask how often an order by chance has sums as far from what is expected.
Under no change each order of the cases is as likely as any other, so that the p-value is exact for every number of
cases and every distribution (Good, *Permutation, Parametric and Bootstrap Tests of Hypotheses*, 2005, chapter 3). It
stays so where no more orders are drawn once enough have reached what is seen (Besag & Clifford, *Biometrika* 78, 1991).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]
LEAST_SIDE = 5  # cases before a change and after it, and of each group
ENOUGH = 50  # orders by chance that reach what is seen: then no more are drawn
_CELLS, _ORDERS = 1 << 22, 250  # ranks, and orders, that are drawn at once
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RankTest:
    """What a test found.

    Attributes:
        p_value: how often chance gives as much.
        place: index of the border or of the group that stands out most.
    """

    p_value: float
    place: int


def change_point(values: Values, borders: NDArray[np.int64], rounds: int, generator: np.random.Generator) -> RankTest:
    """Whether values change anywhere in their order: the largest standardised sum of ranks up to any border.

    With one border this is the Wilcoxon rank-sum test; the maximum over borders is that of Pettitt (*Applied
    Statistics* 28(2), 1979), weighted so that changes near the ends count as much as those in the middle.

    Args:
        values: (N,) in their order.
        borders: (K,) how many values lie before each possible change, from 1 to N - 1, increasing.
        rounds: how many random orders it is compared with at most.
        generator: draws them.
    """
    before = borders.astype(np.float64)
    scale = np.sqrt(before * (len(values) - before))

    def strength(sums: Values) -> Values:
        """Of sums (R, K) up to the borders."""
        return np.abs(sums) / scale

    return _test(values, borders, rounds, generator, strength, np.max)


def group_difference(
    values: Values, counts: NDArray[np.int64], rounds: int, generator: np.random.Generator
) -> RankTest:
    """Whether groups differ: the statistic of Kruskal and Wallis (*JASA* 47, 1952), with a p-value by permutation.

    Args:
        values: (N,) those of the first group, then of the second, and so on.
        counts: (K,) how many each group has.
        rounds: how many random orders it is compared with at most.
        generator: draws them.
    """
    ends, sizes = np.cumsum(counts), counts.astype(np.float64)

    def strength(sums: Values) -> Values:
        """Of sums (R, K) up to the ends of the groups."""
        return np.diff(sums, axis=-1, prepend=0.0) ** 2 / sizes

    return _test(values, ends, rounds, generator, strength, np.sum)


def _test(
    values: Values,
    ends: NDArray[np.int64],
    rounds: int,
    generator: np.random.Generator,
    strength: Callable[[Values], Values],
    gathered: Callable[..., Values],
) -> RankTest:
    ranks = rankdata(values) - (len(values) + 1) / 2
    seen = strength(np.cumsum(ranks)[None, ends - 1])
    most, least = float(gathered(seen)), np.finfo(np.float64).tiny
    reached, done = 0, 0
    while done < rounds:
        count = min(rounds - done, _ORDERS, max(1, _CELLS // len(ranks)))
        orders = generator.permuted(np.broadcast_to(ranks, (count, len(ranks))), axis=1)
        chance = gathered(strength(np.cumsum(orders, axis=1)[:, ends - 1]), axis=1)
        hits = np.flatnonzero(chance >= most * (1 - _ROUNDING) - least)
        if reached + len(hits) >= ENOUGH:
            last = int(hits[ENOUGH - reached - 1])
            return RankTest(ENOUGH / (done + last + 1), int(np.argmax(seen)))
        reached, done = reached + len(hits), done + count
    return RankTest((1 + reached) / (1 + rounds), int(np.argmax(seen)))


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for their number (Holm, *Scandinavian Journal of Statistics* 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted
