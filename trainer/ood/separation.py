"""How well scores tell known from foreign images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from trainer.metrics.interval import Limits, PatientDraws, drawn_interval, effective_number, unanimous_interval
from trainer.metrics.weighted_figure import mean_of_defined

BOOTSTRAP_ROUNDS = 500

Patients = Mapping[str, Sequence[float]]
"""Scores by patient (or source image), whose images are drawn together."""


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


def mean_auroc(known: Patients, sources: Sequence[Patients]) -> float:
    """Mean over the sources of foreign images of the AUROC against all known ones."""
    pooled = _pooled(known)
    return float(np.mean([auroc(pooled, _pooled(source)) for source in sources]))


def mean_auroc_rounds(known: Patients, sources: Sequence[Patients], draws: PatientDraws) -> NDArray[np.float64]:
    """`mean_auroc` ``(rounds,)`` of drawn patients: each is drawn once, with all his known and spoilt images.

    A source of which no patient is drawn is left out of that round's mean. The same draws serve every detector, so that
    differences are paired.
    """
    return mean_of_defined(np.stack([_auroc_rounds(known, source, draws) for source in sources]))


def mean_auroc_interval(
    rounds: NDArray[np.float64], value: float, known: Patients, sources: Sequence[Patients]
) -> Limits | None:
    """Interval of `mean_auroc` from its rounds.

    Where every foreign image is told from every known one, so it is in all rounds, which then say nothing. There
    disjoint pairs of a known and a foreign patient, as many as there can be, are trials that have all been won.

    Args:
        rounds: from `mean_auroc_rounds`.
        value: of `mean_auroc`.
        known, sources: as there.
    """
    if value in (0.0, 1.0):
        return unanimous_interval(value, _independent_pairs(known, sources))
    return drawn_interval(rounds, min(len(known), len(patients_of(sources))))


def patients_of(groups: Iterable[Patients]) -> set[str]:
    """All patients, each once."""
    return {name for scores in groups for name in scores}


def _independent_pairs(known: Patients, sources: Sequence[Patients]) -> float:
    """Disjoint pairs of patients, weighted as in the mean over the sources: every source counts alike."""
    sizes = [min(len(known), len(source)) for source in sources]
    weights = np.concatenate([np.full(size, 1.0 / size) for size in sizes])
    return min(effective_number(weights), len(known), len(patients_of(sources)))


def _auroc_rounds(known: Patients, source: Patients, draws: PatientDraws) -> NDArray[np.float64]:
    """AUROC ``(rounds,)`` of drawn patients: pairs of patients are counted once, then weighed in every round."""
    inside, outside = (draws.weights(list(groups)) for groups in (known, source))
    counts = [np.array([len(scores) for scores in groups.values()]) for groups in (known, source)]
    total = (inside @ counts[0]) * (outside @ counts[1])
    won = np.einsum("rf,rf->r", inside @ _ordered_pairs(known, source), outside)
    return np.asarray(np.where(total > 0, won / np.where(total > 0, total, 1.0), np.nan))


def _ordered_pairs(known: Patients, foreign: Patients) -> NDArray[np.float64]:
    """Pairs of images in the right order, ties counting half, by known and foreign patient."""
    difference = np.subtract.outer(_pooled(known), _pooled(foreign))
    pairs = (difference < 0) + 0.5 * (difference == 0)
    for axis, groups in enumerate((known, foreign)):
        starts = np.cumsum([0, *(len(scores) for scores in groups.values())])[:-1]
        pairs = np.add.reduceat(pairs, starts, axis=axis)
    return np.asarray(pairs)


def _pooled(groups: Patients) -> list[float]:
    return [score for scores in groups.values() for score in scores]
