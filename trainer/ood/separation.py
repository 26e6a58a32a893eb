"""How well scores tell known from foreign images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from trainer.metrics.bootstrap import multiplicities, percentile_interval

BOOTSTRAP_ROUNDS = 500

Groups = Mapping[str, Sequence[float]]
"""Scores by group (patient, source image): groups are resampled together."""


def auroc(known: Sequence[float], foreign: Sequence[float]) -> float:
    """Area under the ROC curve: the chance that a foreign image scores higher than a known one (ties count half).

    >>> auroc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    ranks = rankdata([*known, *foreign])
    n_known, n_foreign = len(known), len(foreign)
    return float((ranks[n_known:].sum() - n_foreign * (n_foreign + 1) / 2) / (n_known * n_foreign))


def false_positive_rate(known: Sequence[float], foreign: Sequence[float], kept: float = 0.95) -> float:
    """Share of foreign images accepted at the threshold that accepts ``kept`` of the known ones (FPR95)."""
    return float(np.mean(np.asarray(foreign) <= np.quantile(known, kept)))


def mean_auroc(known: Groups, sources: Sequence[Groups]) -> float:
    """Mean over the sources of foreign images of the AUROC against all known ones."""
    pooled = _pooled(known)
    return float(np.mean([auroc(pooled, _pooled(source)) for source in sources]))


def mean_auroc_rounds(
    known: Groups, sources: Sequence[Groups], rng: np.random.Generator, rounds: int = BOOTSTRAP_ROUNDS
) -> NDArray[np.float64]:
    """`mean_auroc` ``(rounds,)`` of resampled groups.

    Generators with the same seed draw the same groups for every detector, so that differences are paired.
    """
    inside = multiplicities(len(known), rng, rounds)
    return np.asarray(np.mean([_auroc_rounds(known, inside, source, rng) for source in sources], axis=0))


def mean_interval(groups: Groups, rng: np.random.Generator, rounds: int = BOOTSTRAP_ROUNDS) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over all images; groups are resampled, not images."""
    drawn = multiplicities(len(groups), rng, rounds)
    sums, counts = (np.array([size(values) for values in groups.values()], dtype=float) for size in (sum, len))
    return percentile_interval((drawn @ sums) / (drawn @ counts))


def _auroc_rounds(
    known: Groups, inside: NDArray[np.int64], source: Groups, rng: np.random.Generator
) -> NDArray[np.float64]:
    """AUROC ``(rounds,)`` of resampled groups: pairs of groups are counted once, then weighed in every round."""
    outside = multiplicities(len(source), rng, len(inside))
    pairs = np.array([[_ordered_pairs(k, f) for f in source.values()] for k in known.values()])
    counts = [np.array([len(scores) for scores in groups.values()]) for groups in (known, source)]
    return np.asarray(np.einsum("rk,kf,rf->r", inside, pairs, outside) / ((inside @ counts[0]) * (outside @ counts[1])))


def _ordered_pairs(known: Sequence[float], foreign: Sequence[float]) -> float:
    difference = np.subtract.outer(np.asarray(foreign), np.asarray(known))
    return float((difference > 0).sum() + 0.5 * (difference == 0).sum())


def _pooled(groups: Groups) -> list[float]:
    return [score for scores in groups.values() for score in scores]
