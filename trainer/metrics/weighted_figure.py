"""Figures of cases that count several times, as in the rounds of a bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_PAIRS = 3
SMALLEST = 1e-12


def weighted_sum(weights: Floats, values: Floats) -> Floats:
    """Sums over cases: ``(rounds, cases)`` and ``(cases, ...)`` to ``(rounds, ...)``."""
    return np.tensordot(weights, values, axes=(1, 0))


def weighted_mean(weights: Floats, values: Floats) -> Floats:
    """Mean over the cases whose value is not NaN: ``(rounds, cases)`` and ``(cases,)`` to ``(rounds,)``."""
    defined = ~np.isnan(values)
    total = weights[:, defined].sum(axis=1)
    sums = weights[:, defined] @ values[defined]
    return np.asarray(np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan), dtype=np.float64)


def mean_of_defined(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN: ``(N, rounds)`` to ``(rounds,)``; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan), dtype=np.float64)


def weighted_spearman(one: Floats, other: Floats, counts: Floats) -> Floats:
    """Rank correlation of values that are repeated, ``(rounds,)``.

    Args:
        one, other: ``(N,)``.
        counts: ``(rounds, N)``, how often each pair occurs.

    Returns:
        NaN for rounds with fewer than three pairs or with equal values on one side.
    """
    if not len(one):
        return np.full(len(counts), np.nan)
    total = np.maximum(counts.sum(axis=1), 1)
    centred = []
    for values in (one, other):
        ranks = _repeated_ranks(values, counts)
        centred.append(ranks - ((counts * ranks).sum(axis=1) / total)[:, None])
    spread = [(counts * side**2).sum(axis=1) for side in centred]
    product = np.sqrt(spread[0] * spread[1])
    defined = (product > SMALLEST) & (total >= FEWEST_PAIRS)
    shared = (counts * centred[0] * centred[1]).sum(axis=1)
    return np.asarray(np.where(defined, shared / np.where(defined, product, 1.0), np.nan), dtype=np.float64)


def _repeated_ranks(values: Floats, counts: Floats) -> Floats:
    """Mean rank of every value among the repeated values, ``(rounds, N)``; ties share their mean."""
    _, tie = np.unique(values, return_inverse=True)
    order = np.argsort(tie, kind="stable")
    starts = np.searchsorted(tie[order], np.arange(tie.max() + 1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)
    middle = np.cumsum(sizes, axis=1) - sizes + (sizes + 1) / 2
    return np.asarray(middle[:, tie], dtype=np.float64)
