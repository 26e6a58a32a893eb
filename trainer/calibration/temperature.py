"""Temperature scaling on held-out cases (Guo et al., "On calibration of modern neural networks", ICML 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

BINS = 10
BOUNDARY_VOXELS = 2
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.2, 5.0


@dataclass(frozen=True)
class LabelledLogits:
    """Voxels of held-out cases near label boundaries and inside structures, where calibration matters.

    Attributes:
        logits: float32 ``(N, 1 + labels)``.
        labels: int64 ``(N,)``.
        weights: how many voxels each one stands for, ``(N,)``; None: all alike.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    @property
    def weight(self) -> NDArray[np.float64]:
        """The weights, ``(N,)``."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights


def informative_voxels(labels: NDArray[np.integer], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Flat indices of at most ``limit`` voxels within the dilated foreground.

    Far background is right with certainty and would hide any miscalibration (Karimi & Gholipour restrict their
    calibration error to the organ's surroundings for the same reason).
    """
    from scipy.ndimage import binary_dilation

    structure = np.ones((1 if labels.shape[0] == 1 else 3, 3, 3), dtype=bool)
    near = binary_dilation(labels > 0, structure, iterations=BOUNDARY_VOXELS)
    found = np.flatnonzero(near)
    if len(found) > limit:
        found = np.sort(rng.choice(found, limit, replace=False))
    return found.astype(np.int64)


def negative_log_likelihood(data: LabelledLogits, temperature: float) -> float:
    """Weighted mean negative log-likelihood of the labels under ``softmax(logits / temperature)``."""
    scaled = data.logits / temperature
    peak = scaled.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(scaled - peak).sum(axis=1)) + peak[:, 0]
    losses = normaliser - scaled[np.arange(len(scaled)), data.labels]
    return float(np.average(losses, weights=data.weights))


def fit_temperature(data: LabelledLogits, highest: float = HIGHEST_TEMPERATURE) -> float:
    """The temperature between 0.2 and ``highest`` with the least negative log-likelihood; 1 without voxels."""
    if not len(data.labels):
        return 1.0
    return temperature_of_least_loss(lambda temperature: negative_log_likelihood(data, temperature), highest)


def temperature_of_least_loss(loss: Callable[[float], float], highest: float) -> float:
    """The temperature between 0.2 and ``highest`` at which a loss is least."""
    bounds = np.log([LOWEST_TEMPERATURE, highest])
    result = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=bounds, method="bounded")
    return float(np.exp(result.x))


def expected_calibration_error(data: LabelledLogits, temperature: float) -> float:
    """Expected calibration error of the top label over 10 equal bins (Naeini et al. 2015); 0 without voxels."""
    if not len(data.labels):
        return 0.0
    confidence, correct = top_label(data, temperature)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def top_label(data: LabelledLogits, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability of the most likely label, and 1 where it is right, each ``(N,)``."""
    scaled = data.logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == data.labels).astype(np.float64)
