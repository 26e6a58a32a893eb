"""What held-out cases say about one task: temperatures, calibration errors and Dice, from one answer per case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.connected_component import is_single_component, most_probable_piece
from MultiTaskSegLib.runtime.labels.surface_band import surface_band
from trainer.calibration.scaling import Scaling
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.metrics.overlap import dice_per_label, mean_defined


@dataclass(frozen=True)
class HeldOutFigures:
    """What held-out cases say about one task.

    Attributes:
        temperature: divisor of the logits.
        dice: mean over cases by label name, on the network's grid; labels that no case shows are missing.
        calibration: errors near the structures.
        single_component: whether only the most probable piece of a result is kept.
        surface_temperature: divisor near the predicted surface.
    """

    temperature: float
    dice: dict[str, float]
    calibration: dict[str, float]
    single_component: bool = False
    surface_temperature: float | None = None


@dataclass(frozen=True)
class _Pieces:
    """Result of a case ``(Z, Y, X)`` that is in several pieces, beside its truth and what weighs the pieces.

    Attributes:
        predicted, truth: labels.
        logits: ``(1 + labels, N)`` of the voxels with a label.
        near: which of them are near the predicted surface, ``(N,)``.
    """

    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    logits: NDArray[np.float16]
    near: NDArray[np.bool_]

    def kept(self, scaling: Scaling) -> NDArray[np.uint8]:
        """Labels of the most probable piece, weighed by calibrated probabilities as in the shipped pipeline."""
        foreground = 1 - scaling.at(self.logits, self.near)[0]
        piece = most_probable_piece(self.predicted > 0, foreground)
        return np.where(piece, self.predicted, np.uint8(0))


class HeldOutMeasurement:
    """Takes the network's answers to the held-out cases of one task, one after the other.

    A task without labels has no figures; its cases need not be added.

    Args:
        label_names: of the task's output labels 1, 2, ...
        seed: of the draw of voxels.
        single_component: whether only the most probable piece of a result is kept.
    """

    def __init__(self, label_names: tuple[str, ...], seed: int, single_component: bool = False) -> None:
        self._names, self._single = label_names, single_component
        self._calibration = TaskCalibration(seed)
        self._scores: list[dict[int, float]] = []
        self._in_pieces: list[_Pieces] = []

    def add(self, case: HeldOutCase) -> None:
        """Take a case; whole maps are kept only of those whose pieces can be weighed when all cases are known."""
        self._calibration.add(case)
        predicted = case.logits.argmax(axis=0).astype(np.uint8)
        mask = predicted > 0
        truth = np.asarray(case.labels, dtype=np.uint8)
        if not self._single or is_single_component(mask):
            self._score(predicted, truth)
            return
        near = surface_band(predicted)[mask]
        self._in_pieces.append(_Pieces(predicted, truth, case.logits[:, mask].astype(np.float16), near))

    def figures(self) -> HeldOutFigures:
        """After all cases."""
        if not self._names:
            return HeldOutFigures(1.0, {}, {})
        scaling = self._calibration.scaling()
        while self._in_pieces:
            answer = self._in_pieces.pop()
            self._score(answer.kept(scaling), answer.truth)
        means = {n: mean_defined([s[v] for s in self._scores]) for v, n in enumerate(self._names, start=1)}
        defined = {name: value for name, value in means.items() if not np.isnan(value)}
        return HeldOutFigures(
            scaling.temperature, defined, self._calibration.figures(), self._single, scaling.surface_temperature
        )

    def _score(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        self._scores.append(dice_per_label(predicted, truth, tuple(range(1, 1 + len(self._names)))))
