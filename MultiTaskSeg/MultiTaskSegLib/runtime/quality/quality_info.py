"""What a model file knows of the quality of its results: learnt on labelled images that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.quality.trait_names import TRAITS

Floats = NDArray[np.float64]

QUALITY_VERSION = 1
FARTHEST = 4.0
"""Traits count at most as so many scales beyond the usual: far from all known images a line would go on for ever."""
COVERAGE = 0.9
FEWEST_PATIENTS = 9
"""Of fewer, even the worst shortfall is exceeded in more than one of ten new patients."""


@dataclass(frozen=True)
class TaskQuality:
    """Of one task.

    Attributes:
        patients: held-out ones behind ``margin``.
        margin: by how much the real Dice of a segment falls short of the estimate in at most one of ten images of new
            patients like them; None where they are fewer than `FEWEST_PATIENTS`.
        traits: of an image, names out of `TRAITS`; none: the expected Dice is the estimate.
        medians, scales: of each trait over clean held-out images.
        weights: by how much Dice an image is better than its expected Dice says for each scale that a trait is above
            its median, beyond ``tolerance``.
        intercept: by how much Dice images at all medians are.
        tolerance: nearer to its median, in scales, a trait is usual and says nothing; none in earlier files.
    """

    patients: int
    margin: float | None = None
    traits: tuple[str, ...] = ()
    medians: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    intercept: float = 0.0
    # A later field, see `model.structure.LATER`.
    tolerance: float = field(default=0.0, metadata={"later": True})

    @property
    def is_possible(self) -> bool:
        """Whether the numbers fit each other: every trait is known, once, with median, scale and weight, and a margin
        has enough patients behind it."""
        count = len(self.traits)
        is_known = set(self.traits) <= set(TRAITS) and len(set(self.traits)) == count
        is_complete = len(self.medians) == len(self.scales) == len(self.weights) == count
        return is_known and is_complete and (self.margin is None or self.patients >= FEWEST_PATIENTS)

    def correction(self, traits: Mapping[str, float]) -> float:
        """What to add to the expected Dice of each segment of an image.

        Args:
            traits: of the image, see `MultiTaskSegLib.runtime.labels.image_traits`. One that is not there says
                nothing.
        """
        values = np.array([traits.get(name, np.nan) for name in self.traits], dtype=np.float64)
        steps = unusual(values, self.medians, self.scales, self.tolerance)
        return self.intercept + float(steps @ np.asarray(self.weights, dtype=np.float64))


def unusual(values: Floats, medians: Sequence[float], scales: Sequence[float], tolerance: float) -> Floats:
    """By how many scales traits are beyond what is usual, at most `FARTHEST`.

    Args:
        values: by trait; NaN of one that is not there, which is not unusual.
        medians, scales, tolerance: see `TaskQuality`.

    >>> unusual(np.array([-2.5, 1.9, 9.0, np.nan]), [0.0] * 4, [1.0] * 4, 2.0)
    array([-0.5,  0. ,  4. ,  0. ])
    """
    steps = np.nan_to_num((values - np.asarray(medians)) / np.asarray(scales))
    return np.asarray(np.sign(steps) * np.clip(np.abs(steps) - tolerance, 0.0, FARTHEST))


UNKNOWN = TaskQuality(0)
"""Of files that say nothing: the expected Dice is the estimate, and there is no bound."""


@dataclass(frozen=True)
class QualityInfo:
    """Of all tasks.

    Attributes:
        version: of this part of the model file.
        tasks: in their order.
    """

    version: int
    tasks: tuple[TaskQuality, ...]

    @property
    def is_of_scores(self) -> bool:
        """Whether it would be wrong once scores of the check are others."""
        return any("log_score" in known.traits for known in self.tasks)
