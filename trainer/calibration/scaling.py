"""Forms of post-hoc calibration, fitted on voxels of held-out cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from MultiTaskSegLib.runtime.labels.surface_band import near_surface
from trainer.calibration.temperature import LabelledLogits, fit_temperature, informative_voxels

VOXELS_PER_REGION = 5_000
# Right at the surface of a structure that the network hardly finds, its logits say next to nothing.
HIGHEST_SURFACE_TEMPERATURE = 20.0
BIAS_LIMIT = 8.0
FOLDS = 10

Drawn = TypeVar("Drawn")
"""Voxels drawn from a case."""


@dataclass(frozen=True)
class Scaling:
    """Calibration of a task.

    Attributes:
        temperature: divisor of the logits.
        surface_temperature: divisor near the predicted surface; None: the same everywhere.
        bias: added to the background's logit after the division. It changes what is said about a voxel, not the label
            that is chosen: a structure that is mostly a false alarm may then be called what it is.
        surface_bias: the same near the predicted surface.
    """

    temperature: float = 1.0
    surface_temperature: float | None = None
    bias: float = 0.0
    surface_bias: float = 0.0

    @property
    def without_bias(self) -> Scaling:
        """The temperatures alone, under which the most probable label is the network's own choice."""
        return replace(self, bias=0.0, surface_bias=0.0)

    def probabilities(self, log_probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities from logits or logarithms of probabilities, both ``(1 + labels, Z, Y, X)``."""
        shape = log_probabilities.shape[1:]
        band = np.zeros(shape, dtype=bool)
        if self.surface_temperature is not None:
            band = near_surface(log_probabilities.argmax(axis=0).astype(np.uint8))
        return self.at(log_probabilities, band)

    def at(self, log_probabilities: NDArray[np.floating], band: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The same for voxels of any arrangement ``(1 + labels, ...)``, of which is known whether they are near the
        predicted surface, ``(...)``."""
        divisor = np.full(band.shape, self.temperature, dtype=np.float32)
        bias = np.full(band.shape, self.bias, dtype=np.float32)
        if self.surface_temperature is not None:
            divisor[band], bias[band] = self.surface_temperature, self.surface_bias
        scaled = log_probabilities.astype(np.float32) / divisor
        scaled[0] += bias
        return softmax(scaled)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the first axis."""
    shifted = np.exp(logits - logits.max(axis=0))
    result: NDArray[np.float32] = shifted / shifted.sum(axis=0)
    return result


@dataclass(frozen=True)
class FitVoxels:
    """Voxels drawn from one case.

    Attributes:
        informative: from around the true structures (see `informative_voxels`).
        surface: from the band around the predicted surface.
        interior: from everywhere else. With ``surface`` it represents the whole image without a look at the truth.
    """

    informative: LabelledLogits
    surface: LabelledLogits
    interior: LabelledLogits


def draw_fit_voxels(
    log_probabilities: NDArray[np.floating], truth: NDArray[np.integer], rng: np.random.Generator
) -> FitVoxels:
    """Draw voxels of a case; those of a region stand for all of it by their weights.

    Args:
        log_probabilities: ``(1 + labels, Z, Y, X)``, or logits.
        truth: label indices ``(Z, Y, X)``, 0 is background.
        rng: the only source of chance.
    """
    columns = log_probabilities.reshape(len(log_probabilities), -1)
    flat = truth.ravel()
    band = near_surface(log_probabilities.argmax(axis=0).astype(np.uint8)).ravel()

    def take(index: NDArray[np.int64], population: int) -> LabelledLogits:
        """The voxels at flat indices, which stand for a number of voxels."""
        weights = np.full(len(index), population / max(1, len(index)))
        return LabelledLogits(columns[:, index].T.astype(np.float32), flat[index].astype(np.int64), weights)

    informative = informative_voxels(truth, VOXELS_PER_REGION, rng)
    regions = []
    for region in (band, ~band):
        found = np.flatnonzero(region)
        size = min(VOXELS_PER_REGION, len(found))
        regions.append(take(np.sort(rng.choice(found, size, replace=False)), len(found)))
    return FitVoxels(take(informative, len(informative)), *regions)


def pooled(parts: Sequence[LabelledLogits]) -> LabelledLogits:
    """All voxels together."""
    return LabelledLogits(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def fit_single(cases: Sequence[FitVoxels]) -> Scaling:
    """One temperature from the voxels around the true structures."""
    return Scaling(fit_temperature(pooled([case.informative for case in cases])))


def fit_whole(cases: Sequence[FitVoxels]) -> Scaling:
    """One temperature from the whole images."""
    return Scaling(fit_temperature(pooled([part for case in cases for part in (case.surface, case.interior)])))


def fit_surface(cases: Sequence[FitVoxels]) -> Scaling:
    """Two temperatures from the whole images: near the predicted surface, and elsewhere.

    Local temperature scaling (Ding et al., ICCV 2021) with the distance to the surface in place of a network.
    """
    return Scaling(
        fit_temperature(pooled([case.interior for case in cases])),
        fit_temperature(pooled([case.surface for case in cases]), HIGHEST_SURFACE_TEMPERATURE),
    )


def fit_surface_bias(cases: Sequence[FitVoxels]) -> Scaling:
    """As `fit_surface`, with a background bias in each of the two regions."""
    interior, bias = fit_biased_temperature(pooled([case.interior for case in cases]))
    surface, surface_bias = fit_biased_temperature(pooled([case.surface for case in cases]))
    return Scaling(interior, surface, bias, surface_bias)


def fit_biased_temperature(data: LabelledLogits) -> tuple[float, float]:
    """Temperature and background bias with the least negative log-likelihood; 1 and 0 without voxels."""
    if not len(data.labels):
        return 1.0, 0.0
    # In single precision the small differences from which the optimiser takes its slope would drown.
    logits = data.logits.astype(np.float64)

    def loss(values: NDArray[np.float64]) -> float:
        """Negative log-likelihood at ``(log temperature, bias)``."""
        temperature = float(np.exp(values[0]))
        shifted = logits / temperature
        shifted[:, 0] += values[1]
        likelihood = log_softmax(shifted, axis=1)[np.arange(len(shifted)), data.labels]
        return -float(np.average(likelihood, weights=data.weights))

    bounds = [(np.log(0.2), np.log(HIGHEST_SURFACE_TEMPERATURE)), (-BIAS_LIMIT, BIAS_LIMIT)]
    found = minimize(loss, [np.log(1.5), 0.0], bounds=bounds, method="L-BFGS-B")
    return float(np.exp(found.x[0])), float(found.x[1])


FORMS = {
    "temperature": fit_single,
    "whole_image_temperature": fit_whole,
    "surface_temperature": fit_surface,
    "surface_bias": fit_surface_bias,
}
"""Form by name."""


def cross_fitted(
    cases: Sequence[Drawn], groups: Sequence[str], fit: Callable[[Sequence[Drawn]], Scaling], folds: int = FOLDS
) -> list[Scaling]:
    """For each case the scaling that was fitted on other groups only.

    Groups are dealt into at most ``folds`` folds (leave one group out when there are fewer). With a single group there
    is nothing to fit on: its cases stay as they are.

    Args:
        cases: voxels by case.
        groups: group by case.
        fit: how scalings are fitted, for example one of `FORMS`.
        folds: at least 2.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        return [Scaling()] * len(cases)
    fold_of = {name: index % min(folds, len(names)) for index, name in enumerate(names)}
    fitted: dict[int, Scaling] = {}
    for fold in set(fold_of.values()):
        fitted[fold] = fit([c for c, group in zip(cases, groups, strict=True) if fold_of[group] != fold])
    return [fitted[fold_of[group]] for group in groups]


def log_probabilities_of(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Logarithms of the softmax over the first axis."""
    return np.asarray(log_softmax(logits, axis=0), dtype=np.float32)
