"""Calibration of one task from its held-out cases: the temperatures that ship, and figures that do not flatter them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.surface_band import surface_band
from trainer.calibration.scaling import (
    FitVoxels,
    Scaling,
    cross_fitted,
    draw_fit_voxels,
    fit_surface,
    log_probabilities_of,
    pooled,
)
from trainer.calibration.temperature import LabelledLogits, expected_calibration_error, informative_voxels

VOXELS_PER_CASE = 20_000


@dataclass(frozen=True)
class HeldOutCase:
    """A held-out case with the network's answer.

    Attributes:
        group: patient.
        logits: ``(1 + labels, Z, Y, X)``.
        labels: truth ``(Z, Y, X)``, indices into the head's channels.
    """

    group: str
    logits: NDArray[np.floating]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class _JudgedVoxels:
    """Voxels of a case on which its calibration is judged: logits ``(1 + labels, N)``, which of them are near the
    predicted surface, and labels, both ``(N,)``."""

    logits: NDArray[np.float32]
    near: NDArray[np.bool_]
    labels: NDArray[np.int64]


class TaskCalibration:
    """Sees every held-out case once and keeps a few of its voxels: some to fit, others to judge.

    Args:
        seed: of the draw of voxels.
    """

    def __init__(self, seed: int) -> None:
        self._fitting, self._judging = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        self._voxels: list[FitVoxels] = []
        self._judged: list[_JudgedVoxels] = []
        self._groups: list[str] = []

    def add(self, case: HeldOutCase) -> None:
        """Take voxels of a case."""
        self._voxels.append(draw_fit_voxels(case.logits, case.labels, self._fitting))
        chosen = informative_voxels(case.labels, VOXELS_PER_CASE, self._judging)
        logits = case.logits.reshape(len(case.logits), -1)[:, chosen].astype(np.float32)
        near = surface_band(case.logits.argmax(axis=0)).ravel()[chosen]
        self._judged.append(_JudgedVoxels(logits, near, case.labels.ravel()[chosen].astype(np.int64)))
        self._groups.append(case.group)

    def scaling(self) -> Scaling:
        """What ships: fitted on all held-out cases."""
        return fit_surface(self._voxels)

    def unseen(self) -> list[Scaling]:
        """By case, what the other patients give."""
        return cross_fitted(self._voxels, self._groups, "surface_temperature")

    def figures(self) -> dict[str, float]:
        """Calibration errors near the structures, before and after, each case under the temperatures that the other
        patients gave."""
        raw, calibrated = [], []
        for scaling, voxels in zip(self.unseen(), self._judged, strict=True):
            said = np.log(np.maximum(scaling.at(voxels.logits, voxels.near), np.float32(1e-30)))
            raw.append(LabelledLogits(log_probabilities_of(voxels.logits).T, voxels.labels))
            calibrated.append(LabelledLogits(said.T, voxels.labels))
        before, after = pooled(raw), pooled(calibrated)
        return {
            "ece_uncalibrated": expected_calibration_error(before, 1.0),
            "ece": expected_calibration_error(after, 1.0),
            "voxels": float(len(before.labels)),
        }
