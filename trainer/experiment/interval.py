"""Means over seeds and rank correlations, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from trainer.metrics.bootstrap import interval, multiplicities, percentile_interval

BOOTSTRAP_ROUNDS = 2000
CONFIDENCE = 0.95
SMALLEST = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
        value: NaN when nothing was measured.
        low, high: None when there is too little to tell.
        count: of independent measurements.
    """

    value: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count}


def mean_interval(values: Sequence[float], method: Literal["t", "bootstrap"] = "t", seed: int = 0) -> Interval:
    """Mean over independent repetitions; NaN values (nothing to measure) are left out.

    Args:
        values: one per repetition.
        method: ``t``: Student's t, right for few, roughly normal values; ``bootstrap``: percentiles of means of values
            drawn with replacement, too narrow for few values.
        seed: of the bootstrap.
    """
    defined = np.asarray([v for v in values if not np.isnan(v)], dtype=np.float64)
    if len(defined) < 2:
        return Interval(float(defined.mean()) if len(defined) else float("nan"), None, None, len(defined))
    mean = float(defined.mean())
    if method == "bootstrap":
        draws = np.random.default_rng(seed).choice(defined, (BOOTSTRAP_ROUNDS, len(defined))).mean(axis=1)
        return Interval(mean, *percentile_interval(draws), len(defined))
    margin = float(student_t.ppf(0.5 + CONFIDENCE / 2, len(defined) - 1) * defined.std(ddof=1) / len(defined) ** 0.5)
    return Interval(mean, mean - margin, mean + margin, len(defined))


def rank_correlation(x: Sequence[float], y: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Interval:
    """Spearman's correlation, with an interval from drawing whole clusters with replacement.

    Args:
        x, y: pairs.
        clusters: of each pair; pairs of one cluster (a source model) are not independent.
        seed: of the bootstrap.

    Returns:
        NaN for fewer than three pairs or a constant side; no interval for fewer than three clusters.
    """
    a, b, names = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), sorted(set(clusters))
    value = _spearman(a, b)
    if len(names) < 3 or np.isnan(value):
        return Interval(value, None, None, len(names))
    rng = np.random.default_rng(seed)
    counts = multiplicities(len(names), rng, BOOTSTRAP_ROUNDS).astype(np.float64)
    draws = _weighted_spearman(a, b, counts[:, [names.index(cluster) for cluster in clusters]])
    low, high = interval(draws, len(names)) or (None, None)
    return Interval(value, low, high, len(names))


def _spearman(a: Floats, b: Floats) -> float:
    if len(a) < 3:
        return float("nan")
    return float(_weighted_spearman(a, b, np.ones((1, len(a))))[0])


def _weighted_spearman(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Spearman's correlation ``(R,)`` in samples that hold pair i ``weights[r, i]`` times; NaN for a constant side."""
    ranks = [_weighted_ranks(values, weights) for values in (a, b)]
    total = weights.sum(axis=1, keepdims=True)
    x, y = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
    covariance, xx, yy = ((weights * product).sum(axis=1) for product in (x * y, x * x, y * y))
    scale = np.sqrt(xx * yy)
    return np.asarray(np.where(scale > SMALLEST, covariance / np.maximum(scale, SMALLEST), np.nan), dtype=np.float64)


def _weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Mid-ranks ``(R, N)`` of values that occur several times."""
    below = (values[None, :] < values[:, None]).astype(np.float64)
    equal = (values[None, :] == values[:, None]).astype(np.float64)
    ranks: Floats = weights @ below.T + 0.5 * (weights @ equal.T + 1.0)
    return ranks
