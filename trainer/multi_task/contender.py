"""A trained network as the comparison sees it, whichever way it was built and trained."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.labelled_case import LabelledCase
from trainer.uncertainty.estimator import SinglePass


class Contender(Protocol):
    """Answers for images whose task is told."""

    @property
    def manifest(self) -> Manifest:
        """Tasks, temperatures, and whom the network has seen."""

    def answer(self, volume: Volume, task: str) -> tuple[NDArray[np.uint8], float]:
        """Labels ``(Z, Y, X)`` on the image's own grid, and the score of the check in units of its limit: NaN of a
        network that checks no images.

        Raises:
            InputError: the image does not fit the task.
        """

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """Logarithms of the probabilities before calibration, ``(1 + labels, Z, Y, X)`` on the network's grid."""

    def score(self, volume: Volume) -> float:
        """How far an image is from everything that the network knows, in units of the limit; above 1 it is flagged.

        Raises:
            InputError: the image does not fit the network.
        """


class ShippedContender:
    """One of our networks, with the pipeline as it ships.

    Args:
        predictor: of its model file.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._single_pass = predictor, SinglePass(predictor)

    @property
    def manifest(self) -> Manifest:
        """See `Contender`."""
        return self._predictor.manifest

    def answer(self, volume: Volume, task: str) -> tuple[NDArray[np.uint8], float]:
        """See `Contender`."""
        result = self._predictor.segment(volume, task)
        return result.labels, result.checked.score / result.checked.threshold

    def log_probabilities(self, case: LabelledCase) -> NDArray[np.float32]:
        """See `Contender`."""
        return self._single_pass.log_probabilities(case)

    def score(self, volume: Volume) -> float:
        """See `Contender`."""
        verdict = self._predictor.check(volume)
        return verdict.score / verdict.threshold
