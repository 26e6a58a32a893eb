"""Intervals by drawing groups (patients) with replacement: cases of one patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def draw_weights(groups: Sequence[str], rng: np.random.Generator, rounds: int) -> Floats:
    """How often each case counts in each round, ``(rounds, cases)``.

    Args:
        groups: group by case.
        rng: the only source of chance.
        rounds: number of bootstrap rounds.
    """
    names = sorted(set(groups))
    number = np.array([names.index(group) for group in groups])
    return np.asarray(multiplicities(len(names), rng, rounds)[:, number], dtype=np.float64)


def multiplicities(groups: int, rng: np.random.Generator, rounds: int) -> NDArray[np.int64]:
    """How often each of so many groups is drawn in each round, ``(rounds, groups)``."""
    return rng.multinomial(groups, np.full(groups, 1.0 / groups), size=rounds)


def percentile_interval(rounds: Floats) -> tuple[float, float]:
    """The middle 95 % of the values of all rounds."""
    low, high = np.percentile(rounds, [2.5, 97.5])
    return float(low), float(high)


def weighted_sum(weights: Floats, values: Floats) -> Floats:
    """Sums over cases: ``(rounds, cases)`` and ``(cases, ...)`` to ``(rounds, ...)``."""
    return np.tensordot(weights, values, axes=(1, 0))


def weighted_mean(weights: Floats, values: Floats) -> Floats:
    """Mean over the cases whose value is not NaN: ``(rounds, cases)`` and ``(cases,)`` to ``(rounds,)``."""
    defined = ~np.isnan(values)
    total = weights[:, defined].sum(axis=1)
    sums = weights[:, defined] @ values[defined]
    return np.asarray(np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan), dtype=np.float64)


def interval(rounds: Floats, groups: int) -> tuple[float, float] | None:
    """95 % interval; None when fewer than two groups or fewer than half of the rounds say anything."""
    defined = rounds[~np.isnan(rounds)]
    if groups < 2 or 2 * len(defined) < len(rounds):
        return None
    return percentile_interval(defined)
