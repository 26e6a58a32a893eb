"""Calibration errors of the foreground probability from sums that add up over cases.

The bins and errors are those of Karimi & Gholipour (IEEE TAI 2022): ten equal bins of the *foreground* probability
(1 - background), not of the top label's confidence; voxels with a probability of exactly 0 or 1 are in no bin. Every
function takes arrays with any leading axes, so that one call serves a task, its cases and all bootstrap rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10
VOXELS, CONFIDENCE, FOREGROUND = range(3)
"""Rows of a reliability table ``(..., 3, BINS)``: voxels, sum of their probabilities, foreground voxels among them."""

Floats = NDArray[np.float64]


def reliability_table(probability: NDArray[np.floating], foreground: NDArray[np.bool_]) -> Floats:
    """Table ``(3, BINS)`` of voxels ``(N,)``: an inner edge belongs to the bin above; exact 0 and 1 are left out."""
    inside = (probability > 0) & (probability < 1)
    values = probability[inside].astype(np.float64)
    bins = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    weights = (np.ones(len(values)), values, foreground[inside].astype(np.float64))
    return np.stack([np.bincount(bins, weight, BINS) for weight in weights])


def squared_error_total(probability: NDArray[np.floating], foreground: NDArray[np.bool_]) -> Floats:
    """``(2,)``: number of voxels ``(N,)``, exact 0 and 1 included, and the sum of their squared errors."""
    errors = (probability.astype(np.float64) - foreground) ** 2
    return np.array([float(errors.size), float(errors.sum())])


def expected_calibration_error(table: Floats, voxels: Floats | None = None) -> Floats:
    """ECE: gaps between mean probability and observed share of foreground, weighted by the bins' shares of voxels.

    Args:
        table: ``(..., 3, BINS)``.
        voxels: ``(...)``: what the shares are relative to. The published figure for whole volumes counts every voxel,
            also those in no bin, and is tiny because background is; None: the voxels in bins, as published for the
            ring around the surface.

    Returns:
        ``(...)``; NaN without voxels.
    """
    gaps = np.abs(table[..., CONFIDENCE, :] - table[..., FOREGROUND, :]).sum(axis=-1)
    total = table[..., VOXELS, :].sum(axis=-1) if voxels is None else voxels
    return _ratio(gaps, total)


def maximum_calibration_error(table: Floats) -> Floats:
    """MCE: the largest gap of any bin that is not empty; NaN when all are."""
    gaps = _gaps(table)
    largest = np.where(np.isnan(gaps), -np.inf, gaps).max(axis=-1)
    return np.where(np.isinf(largest), np.nan, largest)


def average_calibration_error(table: Floats) -> Floats:
    """ACE: the mean gap of the bins that are not empty, each counting alike (Barfoot et al., MICCAI 2024)."""
    gaps = _gaps(table)
    return _ratio(np.nansum(gaps, axis=-1), np.count_nonzero(~np.isnan(gaps), axis=-1).astype(np.float64))


def brier_score(total: Floats) -> Floats:
    """Mean squared error of the foreground probability, from ``(..., 2)`` of `squared_error_total`."""
    return _ratio(total[..., 1], total[..., 0])


def _gaps(table: Floats) -> Floats:
    """Gap of each bin ``(..., BINS)``; NaN for empty ones."""
    return _ratio(np.abs(table[..., CONFIDENCE, :] - table[..., FOREGROUND, :]), table[..., VOXELS, :])


def _ratio(above: Floats, below: Floats) -> Floats:
    filled = np.where(below > 0, below, 1.0)
    return np.asarray(np.where(below > 0, above / filled, np.nan), dtype=np.float64)
