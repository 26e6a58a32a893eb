"""Risk against coverage: how good are the results that are kept when the least confident images are left to a person?

The risk of an image is 1 - its mean Dice; coverage is the share of images that are kept. Every figure takes many rounds
of a bootstrap at once: in each, an image counts as often as its patient was drawn.

Images of equal confidence have no order. Here every figure is its mean over all orders that they could have, so that it
never depends on how images are listed: within them the risk adds up evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.weighted_figure import weighted_mean

Floats = NDArray[np.float64]
SMALLEST_GAIN = 1e-12


@dataclass(frozen=True)
class Ranked:
    """Images in groups of equal confidence, the most confident first, in several rounds.

    Attributes:
        counts: ``(rounds, groups)``, how many images a group has.
        risks: ``(rounds, groups)``, their risks added up.
    """

    counts: Floats
    risks: Floats

    @property
    def total(self) -> Floats:
        """How many images a round has, ``(rounds,)``."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def kept(self) -> Floats:
        """Images up to each group, itself included; ``(rounds, groups)``."""
        return np.asarray(np.cumsum(self.counts, axis=1))

    @property
    def risk_kept(self) -> Floats:
        """Their risks added up, ``(rounds, groups)``."""
        return np.asarray(np.cumsum(self.risks, axis=1))


def ranked(confidence: Floats, risk: Floats, weights: Floats) -> Ranked:
    """Put images in the order of their confidence.

    Args:
        confidence: ``(N,)``, higher for results that are thought to be better.
        risk: ``(N,)``.
        weights: ``(rounds, N)``, how often each image counts: whole numbers.

    Raises:
        ValueError: there is no image, or a value is no number: an image without a figure must be left out, or given
            one, by who knows what that means.
    """
    if not len(confidence):
        raise ValueError("there is no image to rank")
    if np.isnan(confidence).any() or np.isnan(risk).any():
        raise ValueError("confidence and risk must be numbers")
    _, group = np.unique(-confidence, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return Ranked(
        np.add.reduceat(weights[:, order], starts, axis=1),
        np.add.reduceat((weights * risk)[:, order], starts, axis=1),
    )


def area_under_risk_coverage(confidence: Floats, risk: Floats, weights: Floats) -> Floats:
    """AURC: mean risk of what is kept, over all coverages; lower is better.

    The trapezoidal rule over R(k/n), the mean risk of the k most confident images (Geifman & El-Yaniv, NeurIPS 2017;
    for segmentation Zenk et al., Medical Image Analysis 101, 2025, section 3.2). Down to no image the risk is that of
    the first, so that a confidence that says nothing has the mean risk; programs that begin at 1/n have less by 1/n of
    that risk.

    Args:
        confidence, risk, weights: see `ranked`.

    Returns:
        ``(rounds,)``; NaN for rounds without an image.
    """
    groups = ranked(confidence, risk, weights)
    kept, before = groups.kept, groups.kept - groups.counts
    risk_before = groups.risk_kept - groups.risks
    mean = groups.risks / np.maximum(groups.counts, 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, int(groups.total.max(initial=0)) + 1))])
    # Within a group R(k) = (S + j m) / (K + j) for j = 1 ..., which adds up to a difference of harmonic numbers.
    spread = harmonic[kept.astype(np.int64)] - harmonic[before.astype(np.int64)]
    sums = (groups.risks + (risk_before - mean * before) * spread).sum(axis=1)
    first = np.take_along_axis(mean, (groups.counts > 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    total = groups.total
    last = groups.risk_kept[:, -1] / np.maximum(total, 1)
    return _defined((sums + (first - last) / 2) / np.maximum(total, 1), total)


def optimal_area(risk: Floats, weights: Floats) -> Floats:
    """The AURC of a confidence that puts images in the order of their risk, ``(rounds,)``."""
    return area_under_risk_coverage(-risk, risk, weights)


def excess_area(confidence: Floats, risk: Floats, weights: Floats) -> Floats:
    """e-AURC: by how much the AURC is above the best that any confidence could have (Geifman et al., ICLR 2019)."""
    return area_under_risk_coverage(confidence, risk, weights) - optimal_area(risk, weights)


def normalised_area(confidence: Floats, risk: Floats, weights: Floats) -> Floats:
    """nAURC: the share of the possible gain that is reached: 1 for the best order, 0 for one that says nothing, below 0
    for a misleading one. How good the segmentations are does not count (Zenk et al. 2025; Cattelan & Silva, UAI 2024,
    have 1 minus this). NaN where all images are equally good."""
    chance = weighted_mean(weights, risk)
    possible = chance - optimal_area(risk, weights)
    gain = chance - area_under_risk_coverage(confidence, risk, weights)
    return np.asarray(np.where(possible > SMALLEST_GAIN, gain / np.where(possible > 0, possible, 1.0), np.nan))


def generalised_area(confidence: Floats, risk: Floats, weights: Floats) -> Floats:
    """AUGRC: the mean, over all coverages, of the risk that goes undetected (Traub et al., NeurIPS 2024, section 3.2).

    The trapezoidal rule over G(k/n), the risks of the k most confident images over n, from G(0) = 0. Unlike in the
    AURC, the most confident images do not count more than others. Lower is better; a confidence that says nothing has
    half of the mean risk.

    Args:
        confidence, risk, weights: see `ranked`.

    Returns:
        ``(rounds,)``; NaN for rounds without an image.
    """
    groups = ranked(confidence, risk, weights)
    middle = groups.risk_kept - groups.risks / 2
    total = groups.total
    return _defined((groups.counts * middle).sum(axis=1) / np.maximum(total, 1) ** 2, total)


def risk_coverage_curve(confidence: Floats, risk: Floats) -> tuple[Floats, Floats]:
    """Coverage k/n and the mean risk of what is kept, each ``(N,)``: the points whose area is the AURC."""
    groups = ranked(confidence, risk, np.ones((1, len(risk))))
    sizes = groups.counts[0].astype(np.int64)
    even = np.repeat(groups.risks[0] / sizes, sizes)
    number = np.arange(1, len(risk) + 1)
    return number / len(risk), np.cumsum(even) / number


def _defined(values: Floats, total: Floats) -> Floats:
    return np.asarray(np.where(total > 0, values, np.nan), dtype=np.float64)
