"""Does uncertainty tell wrong voxels from right ones? AUROC and risk-coverage from sums that add up over cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 512
RIGHT, WRONG = range(2)
"""Rows of an error histogram ``(..., 2, BINS)``: right and wrong voxels by uncertainty."""

Floats = NDArray[np.float64]


def error_histogram(uncertainty: NDArray[np.floating], wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Histogram ``(2, BINS)`` of voxels ``(N,)``.

    Bins are equal on the scale of the cube root: most voxels of an image are almost certain, and it is their order
    that decides about coverage.

    Args:
        uncertainty: in [0, 1].
        wrong: where the predicted label is not the true one.
    """
    bins = np.minimum((np.cbrt(uncertainty) * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(bins[~wrong], minlength=BINS), np.bincount(bins[wrong], minlength=BINS)])


def auroc(histogram: Floats) -> Floats:
    """The chance that a wrong voxel is more uncertain than a right one, ties counting half.

    Args:
        histogram: ``(..., 2, BINS)``.

    Returns:
        ``(...)``; NaN where all voxels are right or all are wrong.
    """
    right, wrong = histogram[..., RIGHT, :], histogram[..., WRONG, :]
    more_certain = np.cumsum(right, axis=-1) - right / 2
    pairs = right.sum(axis=-1) * wrong.sum(axis=-1)
    return np.asarray(
        np.where(pairs > 0, (wrong * more_certain).sum(axis=-1) / np.where(pairs > 0, pairs, 1.0), np.nan)
    )


def risk_coverage(histogram: Floats) -> tuple[Floats, Floats]:
    """Share of voxels kept, and share of wrong ones among them, when the least certain are left to a person.

    Args:
        histogram: ``(..., 2, BINS)``.

    Returns:
        coverage and risk, each ``(..., BINS)``, from the most certain bin to all voxels; before the first voxel the
        risk is that of the first bin with one.
    """
    kept = np.cumsum(histogram.sum(axis=-2), axis=-1)
    wrong = np.cumsum(histogram[..., WRONG, :], axis=-1)
    total = np.maximum(kept[..., -1:], 1)
    first = np.take_along_axis(wrong, _first(kept), -1) / np.maximum(np.take_along_axis(kept, _first(kept), -1), 1)
    return kept / total, np.where(kept > 0, wrong / np.maximum(kept, 1), first)


def area_under_risk_coverage(histogram: Floats) -> Floats:
    """AURC: mean risk over all coverages (Geifman & El-Yaniv 2017); lower is better. NaN without voxels.

    Within a bin the order is not known, so the risk goes straight from its start to its end.
    """
    coverage, risk = risk_coverage(histogram)
    start = np.concatenate([np.zeros_like(coverage[..., :1]), coverage[..., :-1]], axis=-1)
    before = np.concatenate([risk[..., :1], risk[..., :-1]], axis=-1)
    area = ((coverage - start) * (risk + before) / 2).sum(axis=-1)
    return np.asarray(np.where(histogram.sum(axis=(-2, -1)) > 0, area, np.nan), dtype=np.float64)


def error_rate(histogram: Floats) -> Floats:
    """Share of wrong voxels ``(...)``: the risk at full coverage, and the AURC of an uncertainty that says nothing."""
    total = histogram.sum(axis=(-2, -1))
    share = histogram[..., WRONG, :].sum(axis=-1) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(total > 0, share, np.nan), dtype=np.float64)


def _first(kept: Floats) -> NDArray[np.int64]:
    return np.asarray((kept > 0).argmax(axis=-1)[..., None], dtype=np.int64)
