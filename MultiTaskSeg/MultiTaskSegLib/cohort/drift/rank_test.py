"""Permutation tests on ranks: is there a point in an order, or a group, from which values are others?

Both look at sums of ranks up to borders, and ask how often an order by chance has sums as far from what is expected.
Under no change each order of days, or of cases, is as likely as any other, so that the p-value is exact for every
number of cases and every distribution (Good, *Permutation, Parametric and Bootstrap Tests of Hypotheses*, 2005). It
stays so where no more are drawn once enough have reached what is seen (Besag & Clifford, *Biometrika* 78, 1991).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
        place: index of what stands out most.
    """

    p_value: float
    place: int


def change_point(
    values: Values, sizes: NDArray[np.int64], rounds: int, generator: np.random.Generator, least: int = LEAST_SIDE
) -> RankTest:
    """Whether values change from any day on: the largest standardised sum of ranks up to the end of a day.

    With one border this is the Wilcoxon rank-sum test; the maximum over borders is that of Pettitt (*Applied
    Statistics* 28(2), 1979), weighted so that changes near the ends count as much as those in the middle. Whole days
    are put into random orders, so that cases of one day may be alike.

    Args:
        values: (N,) those of the first day, then of the second, and so on.
        sizes: (D,) how many each day has.
        rounds: how many random orders it is compared with at most.
        generator: draws them.
        least: cases that must lie before a change and after it.

    Returns:
        ``place`` is the index of the last day before the change.
    """
    ranks = _centred_ranks(values)
    sums = np.add.reduceat(ranks, np.cumsum(sizes) - sizes)

    def strength(order: NDArray[np.int64]) -> Values:
        """At the end of each day but the last, (R, D - 1), of orders (R, D)."""
        before = np.cumsum(sizes[order], axis=1)[:, :-1]
        after = len(values) - before
        weighted = np.abs(np.cumsum(sums[order], axis=1)[:, :-1]) / np.sqrt(before * after)
        return np.where((before >= least) & (after >= least), weighted, 0.0)

    days = np.arange(len(sizes))
    seen = strength(days[None])[0]
    return _compared(seen, np.max, days, strength, rounds, generator)


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
    ranks, ends, sizes = _centred_ranks(values), np.cumsum(counts), counts.astype(np.float64)

    def strength(orders: Values) -> Values:
        """Of each group, (R, K), of ranks in random orders (R, N)."""
        return np.diff(np.cumsum(orders, axis=1)[:, ends - 1], axis=1, prepend=0.0) ** 2 / sizes

    return _compared(strength(ranks[None])[0], np.sum, ranks, strength, rounds, generator)


def _centred_ranks(values: Values) -> Values:
    ranks: Values = rankdata(values) - (len(values) + 1) / 2
    return ranks


def _compared(
    seen: Values,
    gathered: Callable[..., Any],
    units: NDArray[Any],
    strength: Callable[[Any], Values],
    rounds: int,
    generator: np.random.Generator,
) -> RankTest:
    """How often random orders of the units gather as much as is seen."""
    most, least = float(gathered(seen)), np.finfo(np.float64).tiny
    reached, done = 0, 0
    while done < rounds:
        count = min(rounds - done, _ORDERS, max(1, _CELLS // len(units)))
        orders = generator.permuted(np.broadcast_to(units, (count, len(units))), axis=1)
        hits = np.flatnonzero(gathered(strength(orders), axis=1) >= most * (1 - _ROUNDING) - least)
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
