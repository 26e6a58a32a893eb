"""A failure is a result that is too bad to be used: does a confidence, or a flag, tell it?

Every figure takes many rounds of a bootstrap at once, see `trainer.failure.risk_coverage`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.weighted_figure import weighted_mean

FAILURE_DICE = 0.75
"""A mean Dice below this is a failure (Zenk et al., Medical Image Analysis 101, 2025)."""
DETECTED = 0.95
TOLERANCE = 1e-9

Floats = NDArray[np.float64]


def failure_auroc(confidence: Floats, is_failure: NDArray[np.bool_], weights: Floats) -> Floats:
    """The chance that a failure has a lower confidence than a good result, ties counting half.

    Args:
        confidence: ``(N,)``.
        is_failure: ``(N,)``.
        weights: ``(rounds, N)``, how often each image counts.

    Returns:
        ``(rounds,)``; NaN for rounds without a failure or without a good result.
    """
    _require_numbers(confidence)
    failed, good = confidence[is_failure], confidence[~is_failure]
    wins = (failed[:, None] < good) + 0.5 * (failed[:, None] == good)
    of_failed, of_good = weights[:, is_failure], weights[:, ~is_failure]
    pairs = of_failed.sum(axis=1) * of_good.sum(axis=1)
    return _share(((of_failed @ wins) * of_good).sum(axis=1), pairs)


def false_alarm_rate(confidence: Floats, is_failure: NDArray[np.bool_], weights: Floats) -> Floats:
    """FPR at 95 % TPR: the share of good results that must be looked at so that 95 % of the failures are found.

    Images of equal confidence are looked at together. Failures are what is to be found. Others count good results as
    the positive ones (DeVries & Taylor, arXiv 1802.04865; FD-Shifts of Jaeger et al., ICLR 2023; Zenk et al.): their
    figure, the share of failures that are accepted with 95 % of the good results, is that of the negative confidence
    and of good results in the place of failures.

    Args:
        confidence, is_failure, weights: see `failure_auroc`.

    Returns:
        ``(rounds,)``; NaN for rounds without a failure or without a good result.
    """
    _require_numbers(confidence)
    values, place = np.unique(confidence, return_inverse=True)
    found, alarms = (np.zeros((len(weights), len(values))) for _ in range(2))
    for target, chosen in ((found, is_failure), (alarms, ~is_failure)):
        for column in np.flatnonzero(chosen):
            target[:, place[column]] += weights[:, column]
    found, alarms = np.cumsum(found, axis=1), np.cumsum(alarms, axis=1)
    failures, good = found[:, -1], alarms[:, -1]
    enough = (found >= (DETECTED * failures - TOLERANCE)[:, None]).argmax(axis=1)
    rate = _share(np.take_along_axis(alarms, enough[:, None], axis=1)[:, 0], good)
    return np.asarray(np.where(failures > 0, rate, np.nan))


def mean_drop(drop: Floats, chosen: NDArray[np.bool_], weights: Floats) -> Floats:
    """Mean loss of Dice of some images, ``(rounds,)``: of those that a flag lets pass, the loss that users meet without
    a warning; NaN for rounds without such an image.

    A flag that fires where nothing is lost, and lets pass what is harmful, is of no use, however well it tells faults
    from clean images (the expected performance drop, Vasiliuk et al., arXiv 2308.07324).

    Args:
        drop: ``(N,)``, Dice of the same patient's image without the fault minus that of the image.
        chosen: ``(N,)``, whether the image counts.
        weights: ``(rounds, N)``.
    """
    return weighted_mean(weights[:, chosen], drop[chosen])


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan), dtype=np.float64)


def _require_numbers(confidence: Floats) -> None:
    if np.isnan(confidence).any():
        raise ValueError("a confidence must be a number")
