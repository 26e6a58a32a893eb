"""How far a figure of an arm, or a difference of two, may lie from its mean over patients and seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.interval import Limits, drawn_interval, mean_interval

Floats = NDArray[np.float64]
ANYWHERE = (-np.inf, np.inf)


def interval_over_patients_and_seeds(
    by_seed: Floats, rounds: Floats, patients: int, bounds: Limits = ANYWHERE
) -> list[float] | None:
    """95 % interval of the mean over seeds.

    Which patients are tested and how a training turns out are two chances of their own. The first is told by draws of
    patients, the second by Student's t over the seeds: a bootstrap of three seeds would be far too narrow. The
    distances of both limits from the mean are put together in quadrature (Zou & Donner, Statistics in Medicine 27(10),
    2008). Of one seed nothing is known about others: there the interval is of patients alone.

    Args:
        by_seed: the figure of all patients by seed, ``(S,)``; NaN where it was not measured.
        rounds: of drawn patients, ``(rounds, S)``.
        patients: how many different ones the figure rests on.
        bounds: which the figure cannot leave.

    Returns:
        None where `drawn_interval` has none.
    """
    limits = drawn_interval(mean_over_seeds(rounds), patients)
    if limits is None:
        return None
    seeds = mean_interval(by_seed.tolist())
    margin = 0.0 if seeds.low is None else seeds.value - seeds.low
    below, above = (max(0.0, seeds.value - limits[0]), max(0.0, limits[1] - seeds.value))
    low, high = seeds.value - np.hypot(below, margin), seeds.value + np.hypot(above, margin)
    return [float(max(bounds[0], low)), float(min(bounds[1], high))]


def mean_over_seeds(rounds: Floats) -> Floats:
    """Mean of ``(rounds, S)`` over the seeds that have a figure, ``(rounds,)``; NaN without any."""
    counts = (~np.isnan(rounds)).sum(axis=1)
    return np.where(counts > 0, np.nansum(rounds, axis=1) / np.maximum(counts, 1), np.nan)
