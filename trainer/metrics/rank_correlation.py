"""Spearman's rank correlation of pairs that are not independent, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.interval import Interval, PatientDraws, drawn_interval
from trainer.metrics.weighted_figure import weighted_spearman

ROUNDS = 2000
FEWEST_CLUSTERS = 3


def rank_correlation(x: Sequence[float], y: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Interval:
    """Spearman's correlation, with an interval from drawing whole clusters with replacement.

    Args:
        x, y: pairs.
        clusters: of each pair; pairs of one cluster (a source model) are not independent.
        seed: of the draws.

    Returns:
        NaN for fewer than three pairs or a constant side; no interval for fewer than three clusters.
    """
    one, other = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    count = len(set(clusters))
    value = float(weighted_spearman(one, other, np.ones((1, len(one))))[0])
    if count < FEWEST_CLUSTERS or np.isnan(value):
        return Interval(value, None, None, count)
    draws = PatientDraws(clusters, np.random.default_rng(seed), ROUNDS)
    rounds = weighted_spearman(one, other, draws.weights(clusters))
    low, high = drawn_interval(rounds, count) or (None, None)
    return Interval(value, low, high, count)
