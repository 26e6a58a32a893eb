"""Calibration of one task from its held-out cases: the temperatures that ship, and figures that do not flatter them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


class TaskCalibration:
    """Sees every held-out case twice: first to fit, then to judge. Only a few voxels of a case are kept.

    Args:
        seed: of the draw of voxels.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._voxels: list[FitVoxels] = []
        self._groups: list[str] = []
        self._unseen: list[Scaling] = []
        self._raw: list[LabelledLogits] = []
        self._calibrated: list[LabelledLogits] = []

    def add(self, case: HeldOutCase) -> None:
        """First round."""
        self._voxels.append(draw_fit_voxels(case.logits, case.labels, self._rng))
        self._groups.append(case.group)

    def scaling(self) -> Scaling:
        """What ships, after the first round: fitted on all held-out cases."""
        return fit_surface(self._voxels)

    def judge(self, case: HeldOutCase) -> None:
        """Second round, in the same order: each case under the temperatures that the other patients gave."""
        if not self._unseen:
            self._unseen = cross_fitted(self._voxels, self._groups, "surface_temperature")
        unseen = self._unseen[len(self._raw)]
        chosen = informative_voxels(case.labels, VOXELS_PER_CASE, self._rng)
        labels = case.labels.ravel()[chosen].astype(np.int64)
        calibrated = np.log(np.maximum(unseen.probabilities(case.logits), np.float32(1e-30)))
        for values, parts in ((log_probabilities_of(case.logits), self._raw), (calibrated, self._calibrated)):
            parts.append(LabelledLogits(values.reshape(len(values), -1).T[chosen], labels))

    def figures(self) -> dict[str, float]:
        """Calibration errors near the structures, before and after, on patients that the temperatures never saw."""
        raw, calibrated = pooled(self._raw), pooled(self._calibrated)
        return {
            "ece_uncalibrated": expected_calibration_error(raw, 1.0),
            "ece": expected_calibration_error(calibrated, 1.0),
            "voxels": float(len(raw.labels)),
        }
