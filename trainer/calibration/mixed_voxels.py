"""Voxels of an image's own grid as results show them: means of probabilities that lie on the network's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from MultiTaskSegLib.runtime.image.resampling import interpolation_matrix
from MultiTaskSegLib.runtime.labels.grid_interpolation import neighbours
from trainer.calibration.scaling import HIGHEST_SURFACE_TEMPERATURE, Scaling
from trainer.calibration.temperature import HIGHEST_TEMPERATURE, temperature_of_least_loss


@dataclass(frozen=True)
class MixedVoxels:
    """Voxels of one image, each a weighted mean over K voxels of the network's grid.

    Attributes:
        logits: float32 ``(N, K, 1 + labels)``.
        shares: weights of the K, float32 ``(N, K)``; each row adds up to 1.
        near: which of the K are near the predicted surface, bool ``(N, K)``.
        labels: truth, int64 ``(N,)``.
        weight: how many voxels of the image each one stands for, ``(N,)``.
    """

    logits: NDArray[np.float32]
    shares: NDArray[np.float32]
    near: NDArray[np.bool_]
    labels: NDArray[np.int64]
    weight: NDArray[np.float64]

    def probabilities(self, scaling: Scaling) -> NDArray[np.float32]:
        """What a result says, ``(N, 1 + labels)``: calibrated on the network's grid, then interpolated."""
        said = softmax(self.logits / self._divisor(scaling)[..., None], axis=2) * self.shares[..., None]
        return np.asarray(said.sum(axis=1), dtype=np.float32)

    def loss(self, scaling: Scaling) -> float:
        """Negative log-likelihood of the truth, added up over the voxels that these stand for."""
        below, missed = self._margins
        divisor = self._divisor(scaling)
        # Of each of the K; nothing can overflow, and what has no share does not count.
        losses = missed / divisor + np.log(np.exp(below / divisor[..., None]).sum(axis=2))
        losses[self.shares == 0] = np.inf
        least = losses.min(axis=1)
        mixed = least - np.log((self.shares * np.exp(least[:, None] - losses)).sum(axis=1))
        return float(mixed @ self.weight)

    @cached_property
    def _margins(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The logits less the highest of them, ``(N, K, 1 + labels)``, and the highest less that of the truth,
        ``(N, K)``."""
        highest = self.logits.max(axis=2, keepdims=True)
        own = np.take_along_axis(self.logits, self.labels[:, None, None], axis=2)
        return self.logits - highest, (highest - own)[..., 0]

    def _divisor(self, scaling: Scaling) -> NDArray[np.float32]:
        near = scaling.temperature if scaling.surface_temperature is None else scaling.surface_temperature
        return np.where(self.near, near, scaling.temperature).astype(np.float32)


class GridMixture:
    """Which voxels of the network's grid make a voxel of the image's own, as `LabelStream` interpolates.

    Args:
        grid: ``(Z, Y, X)`` of the network's grid.
        shape: ``(Z, Y, X)`` of the image in canonical order.

    Attributes:
        width: how many at most, K.
    """

    def __init__(self, grid: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self._grid, self._shape = grid, shape
        self._axes = [_stacked(n_in, n_out) for n_in, n_out in zip(grid, shape, strict=True)]
        self.width: int = prod(index.shape[1] for index, _ in self._axes)

    def at(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Flat indices into the network's grid and their weights, both ``(N, K)``, of flat indices ``(N,)``."""
        found = np.zeros((len(places), 1), dtype=np.int64)
        shares = np.ones((len(places), 1), dtype=np.float32)
        for size, (index, weight), place in zip(
            self._grid, self._axes, np.unravel_index(places, self._shape), strict=True
        ):
            width = found.shape[1] * index.shape[1]
            found = (found[:, :, None] * size + index[place][:, None, :]).reshape(len(places), width)
            shares = (shares[:, :, None] * weight[place][:, None, :]).reshape(len(places), width)
        return found, shares

    def nearest_of(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """For each voxel ``(Z, Y, X)`` of the image the value of that of the network's grid which enters most."""
        for axis, (index, weight) in enumerate(self._axes):
            values = values.take(index[np.arange(len(index)), weight.argmax(axis=1)], axis)
        return values

    def any_of(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Voxels ``(Z, Y, X)`` of the image into which one of the network's grid enters that has the flag."""
        for axis, (index, weight) in enumerate(self._axes):
            along = (-1, *[1] * (flags.ndim - 1 - axis))
            parts = [flags.take(index[:, k], axis) & (weight[:, k] > 0).reshape(along) for k in range(index.shape[1])]
            flags = np.logical_or.reduce(parts)
        return flags


def _stacked(n_in: int, n_out: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and weights of the neighbours along an axis, each ``(n_out, k)``."""
    pairs = neighbours(interpolation_matrix(n_in, n_out))
    index, weight = (np.stack([part.numpy() for part in parts], axis=1) for parts in zip(*pairs, strict=True))
    return index, weight


@dataclass(frozen=True)
class FitCase:
    """Voxels drawn from one image to fit on.

    Attributes:
        surface: voxels into which some voxel near the predicted surface enters.
        interior: all others.
    """

    surface: MixedVoxels
    interior: MixedVoxels


def fit_two_temperatures(cases: Sequence[FitCase]) -> Scaling:
    """The temperature elsewhere first, then the one near the predicted surface; see `scaling.fit_surface`.

    Both are of least loss over all voxels of the images' own grids together; voxels near the surface may mix both.
    """
    interior = [case.interior for case in cases if len(case.interior.labels)]
    surface = [case.surface for case in cases if len(case.surface.labels)]
    elsewhere = 1.0
    if interior:
        elsewhere = temperature_of_least_loss(lambda t: _mean_loss(interior, Scaling(t)), HIGHEST_TEMPERATURE)
    near = 1.0
    if surface:
        near = temperature_of_least_loss(
            lambda t: _mean_loss(surface, Scaling(elsewhere, t)), HIGHEST_SURFACE_TEMPERATURE
        )
    return Scaling(elsewhere, near)


def _mean_loss(parts: Sequence[MixedVoxels], scaling: Scaling) -> float:
    return sum(part.loss(scaling) for part in parts) / sum(float(part.weight.sum()) for part in parts)
