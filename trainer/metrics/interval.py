"""Every 95 % interval of the trainer: means over repetitions, shares, and figures of drawn patients.

Cases of one patient are not independent, whichever task, kind of artefact or source they belong to: a patient is drawn
once for all of them (`PatientDraws`), and a share counts patients, not images (`share_interval`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
SMALLEST_SPREAD = 1e-12

Floats = NDArray[np.float64]
Limits = tuple[float, float]


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


def mean_interval(values: Sequence[float], bounds: Limits = (-np.inf, np.inf)) -> Interval:
    """Mean over independent repetitions with Student's t interval; NaN values (nothing to measure) are left out.

    Equal values have no interval: they do not tell how far others would lie from them.

    Args:
        values: one per repetition.
        bounds: between which every value lies by definition; the interval does not leave them.
    """
    defined = np.asarray([v for v in values if not np.isnan(v)], dtype=np.float64)
    count = len(defined)
    if count < 2 or np.ptp(defined) < SMALLEST_SPREAD:
        return Interval(float(defined.mean()) if count else float("nan"), None, None, count)
    mean = float(defined.mean())
    margin = float(student_t.isf(TAIL, count - 1) * defined.std(ddof=1) / count**0.5)
    return Interval(mean, max(bounds[0], mean - margin), min(bounds[1], mean + margin), count)


def unanimous_interval(share: float, trials: float) -> Limits:
    """Exact interval of a share when all trials, or none, succeeded (Clopper & Pearson, Biometrika 26, 1934).

    Args:
        share: 1 or 0.
        trials: how many independent ones; need not be whole, see `effective_number`.

    >>> [round(100 * limit, 1) for limit in unanimous_interval(1.0, 111)]
    [96.7, 100.0]
    """
    bound = TAIL ** (1 / trials)
    return (bound, 1.0) if share == 1 else (0.0, 1 - bound)


def share_interval(found: Sequence[float | bool], patients: Sequence[str]) -> Limits:
    """Interval of the share of images for which something holds, where images of a patient resemble each other.

    Wilson's score interval for as many independent images as say the same: how far patients differ tells how many that
    is, and the fewer the patients, the less it tells (the design effect and Student's t in place of the normal, as in
    Korn & Graubard, Survey Methodology 24(2), 1998). Where all images agree nothing tells it; there the interval is the
    exact one, and the images of a patient are taken to be copies of each other.

    Args:
        found: 0 or 1 by image.
        patients: by image.
    """
    values = np.asarray(found, dtype=np.float64)
    _, number = np.unique(np.asarray(patients), return_inverse=True)
    images, hits = np.bincount(number).astype(np.float64), np.bincount(number, values)
    total, count, share = float(images.sum()), len(images), float(values.mean())
    if share in (0.0, 1.0):
        return unanimous_interval(share, effective_number(images))
    if count < 2:
        return 0.0, 1.0
    variance = count / (count - 1) * float(((hits - images * share) ** 2).sum()) / total**2
    independent = share * (1 - share) / (total - 1)
    worth = total * min(1.0, independent / variance) if variance > 0 else total
    return _wilson(share, worth, float(student_t.isf(TAIL, count - 1)))


def _wilson(share: float, trials: float, quantile: float) -> Limits:
    """Score interval (Wilson, Journal of the American Statistical Association 22, 1927)."""
    weight = quantile**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    margin = (weight * share * (1 - share) + weight**2 / 4) ** 0.5 / (1 + weight)
    return middle - margin, middle + margin


def effective_number(weights: Floats) -> float:
    """How many equal weights say as much: (Σw)² / Σw² (Kish, Survey Sampling, 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


class PatientDraws:
    """How often each patient is drawn in each round of a bootstrap: once for everything that is measured on patients.

    Equal names are the same patient in every task, kind and source, as they are when datasets are split.

    Args:
        patients: names; each is counted once however often it occurs.
        rng: the only source of chance.
        rounds: number of rounds.
    """

    def __init__(self, patients: Iterable[str], rng: np.random.Generator, rounds: int) -> None:
        self._column = {name: column for column, name in enumerate(sorted(set(patients)))}
        count = len(self._column)
        self._drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=rounds).astype(np.float64)

    def weights(self, patients: Sequence[str]) -> Floats:
        """How often each case counts, ``(rounds, cases)``.

        Args:
            patients: by case; all are among those that were drawn from.
        """
        return self._drawn[:, [self._column[name] for name in patients]]


def drawn_interval(rounds: Floats, patients: int) -> Limits | None:
    """Interval of a figure from its values in the rounds of `PatientDraws`; NaN rounds say nothing.

    The middle 95 % are too narrow for few patients; the tails are those that make the interval of a mean Student's
    (the expanded percentile interval: Hesterberg, The American Statistician 69(4), 2015).

    Args:
        rounds: ``(rounds,)``.
        patients: how many different ones the figure rests on.

    Returns:
        None for fewer than two patients, when fewer than half of the rounds say anything, and when all say the same:
        a point is no interval.
    """
    defined = rounds[~np.isnan(rounds)]
    if patients < 2 or 2 * len(defined) < len(rounds) or np.ptp(defined) == 0:
        return None
    tail = norm.sf((patients / (patients - 1)) ** 0.5 * student_t.isf(TAIL, patients - 1))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
