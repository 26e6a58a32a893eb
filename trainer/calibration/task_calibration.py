"""Calibration of one task from its held-out cases: the temperatures that ship, and figures that do not flatter them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.surface_band import near_surface
from trainer.calibration.mixed_voxels import FitCase, GridMixture, MixedVoxels, fit_two_temperatures
from trainer.calibration.scaling import VOXELS_PER_REGION, Scaling, cross_fitted, pooled
from trainer.calibration.temperature import LabelledLogits, expected_calibration_error, informative_voxels

VOXELS_PER_CASE = 20_000
# Where many voxels of the network's grid make one of the image's own, fewer are drawn: all take as much memory.
LEAST_VOXELS = 1_000
SMALLEST_SHARE = np.float32(1e-30)


@dataclass(frozen=True)
class HeldOutCase:
    """A held-out case with the network's answer.

    Attributes:
        group: patient.
        logits: ``(1 + labels, z, y, x)`` on the network's grid; of regions ``(R, z, y, x)``.
        labels: truth ``(Z, Y, X)``, indices into the head's channels, on the image's own grid in canonical order;
            of regions ``(R, Z, Y, X)``, 1 in each.
    """

    group: str
    logits: NDArray[np.floating]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class DrawnVoxels:
    """Voxels of a case: some to fit, others to judge."""

    group: str
    fit: FitCase
    judged: MixedVoxels


class TaskCalibration:
    """Sees every held-out case once and keeps a few voxels of its own grid: some to fit, others to judge.

    Args:
        seed: of the draw of voxels.
    """

    def __init__(self, seed: int) -> None:
        self._fitting, self._judging = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        self._fit: list[FitCase] = []
        self._judged: list[MixedVoxels] = []
        self._groups: list[str] = []

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """Which `drawn` uses."""
        return self._fitting, self._judging

    def add(self, case: HeldOutCase) -> None:
        """Take voxels of a case."""
        self.keep(self.drawn(case))

    def drawn(self, case: HeldOutCase) -> list[DrawnVoxels]:
        """What `keep` wants of a case.

        Each region that may overlap with others is a question of its own, there or not; one temperature serves all.
        """
        if case.labels.ndim == 3:
            return [self._drawn_from(case)]
        pairs = zip(case.logits, case.labels, strict=True)
        return [
            self._drawn_from(HeldOutCase(case.group, np.stack((np.zeros_like(own), own)), truth))
            for own, truth in pairs
        ]

    def keep(self, drawn: Sequence[DrawnVoxels]) -> None:
        """Take what was drawn from a case."""
        for voxels in drawn:
            self._fit.append(voxels.fit)
            self._judged.append(voxels.judged)
            self._groups.append(voxels.group)

    def _drawn_from(self, case: HeldOutCase) -> DrawnVoxels:
        answer = _Answer(case)
        band = answer.near
        fit = FitCase(self._drawn(answer, band), self._drawn(answer, ~band))
        informative = informative_voxels(case.labels, answer.at_most(VOXELS_PER_CASE), self._judging)
        return DrawnVoxels(case.group, fit, answer.taken(informative, np.ones(len(informative))))

    def _drawn(self, answer: _Answer, region: NDArray[np.bool_]) -> MixedVoxels:
        """Voxels of a region, of those that are wrong as many as of those that are right, and weighed accordingly.

        Far from a surface one voxel in ten thousand may be wrong, on which the temperature there depends all the same:
        if it were left to chance whether one is drawn, the temperature would be, too.
        """
        limit, parts, weights = answer.at_most(VOXELS_PER_REGION), [], []
        for part in (region & answer.wrong, region & ~answer.wrong):
            places = drawn_places(part, limit, self._fitting)
            parts.append(places)
            weights.append(np.full(len(places), np.count_nonzero(part) / max(1, len(places))))
        return answer.taken(np.concatenate(parts), np.concatenate(weights))

    def scaling(self) -> Scaling:
        """What ships: fitted on all held-out cases."""
        return fit_two_temperatures(self._fit)

    def unseen(self) -> list[Scaling]:
        """By case, what the other patients give."""
        return cross_fitted(self._fit, self._groups, fit_two_temperatures)

    def figures(self) -> dict[str, float]:
        """Calibration errors near the structures on the images' own grids, before and after, each case under the
        temperatures that the other patients gave."""
        before = pooled([_said(voxels, Scaling()) for voxels in self._judged])
        after = pooled([_said(voxels, own) for own, voxels in zip(self.unseen(), self._judged, strict=True)])
        return {
            "ece_uncalibrated": expected_calibration_error(before, 1.0),
            "ece": expected_calibration_error(after, 1.0),
            "voxels": float(len(before.labels)),
        }


class _Answer:
    """The network's answer to a case, looked at from the image's own grid.

    Attributes:
        near: voxels ``(Z, Y, X)`` of the image into which one enters that is near the predicted surface.
        wrong: voxels whose nearest one of the network's grid has another label than the truth.
    """

    def __init__(self, case: HeldOutCase) -> None:
        self._columns, self._truth = case.logits.reshape(len(case.logits), -1), case.labels
        predicted = case.logits.argmax(axis=0).astype(np.uint8)
        self._near = near_surface(predicted)
        self._mixture = GridMixture(case.logits.shape[1:], case.labels.shape)
        self.near = self._mixture.any_of(self._near)
        self.wrong = self._mixture.nearest_of(predicted) != case.labels

    def at_most(self, voxels: int) -> int:
        """How many are drawn where so many would be without interpolation."""
        return min(voxels, max(LEAST_VOXELS, voxels // self._mixture.width))

    def taken(self, places: NDArray[np.int64], weight: NDArray[np.float64]) -> MixedVoxels:
        """The voxels at flat indices ``(N,)`` of the image, and how many each of them stands for."""
        found, shares = self._mixture.at(places)
        logits = np.moveaxis(self._columns[:, found], 0, 2).astype(np.float32)
        labels = self._truth.ravel()[places].astype(np.int64)
        return MixedVoxels(np.ascontiguousarray(logits), shares, self._near.ravel()[found], labels, weight)


def drawn_places(region: NDArray[np.bool_], limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending flat indices of at most ``limit`` voxels of a region ``(Z, Y, X)``.

    The indices of all its voxels, which of a large image take gigabytes, are never in memory together.
    """
    ends = np.cumsum([np.count_nonzero(plane) for plane in region])
    count = int(ends[-1]) if len(ends) else 0
    ranks = np.sort(rng.choice(count, min(limit, count), replace=False))
    places = [np.empty(0, dtype=np.int64)]
    for number in np.unique(np.searchsorted(ends, ranks, side="right")):
        plane = np.flatnonzero(region[number])
        begun = int(ends[number]) - len(plane)
        own = ranks[(ranks >= begun) & (ranks < ends[number])]
        places.append(plane[own - begun] + number * region[number].size)
    return np.concatenate(places)


def _said(voxels: MixedVoxels, scaling: Scaling) -> LabelledLogits:
    return LabelledLogits(np.log(np.maximum(voxels.probabilities(scaling), SMALLEST_SHARE)), voxels.labels)
