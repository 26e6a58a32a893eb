"""One result with its truth, as far as the quality of results can be learnt from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.labels.image_traits import image_traits
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.quality.trait_names import Traits
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.overlap import mean_defined


@dataclass(frozen=True)
class QualitySample:
    """What is known of an image.

    Attributes:
        group: images of one group are of one patient.
        dice: by label name, on the image's own grid; NaN where neither truth nor result has the label.
        expected: expected Dice by label name, from the calibrated probabilities alone; None of labels not found.
        traits: see `MultiTaskSegLib.runtime.labels.image_traits`.
        is_clean: whether it is the image as it is, not spoilt.
    """

    group: str
    dice: Mapping[str, float]
    expected: Mapping[str, float | None]
    traits: Traits
    is_clean: bool = True

    @property
    def mean_dice(self) -> float:
        """Over the labels that truth or result have; NaN where there is none."""
        return mean_defined(list(self.dice.values()))

    @property
    def mean_expected(self) -> float:
        """Over the labels that were found; NaN where there is none."""
        return self.traits["expected_dice"]


def quality_sample(
    found: Segmentation,
    truth: NDArray[np.integer],
    labels: Mapping[int, str],
    group: str,
    *,
    is_clean: bool = True,
) -> QualitySample:
    """Compare a result with its truth.

    Args:
        found: of a model whose file says nothing of quality, so that its estimates are the expected Dice.
        truth: label values of the dataset ``(Z, Y, X)`` on the image's own grid.
        labels: the dataset's label names by value.
        group: patient.
        is_clean: whether the image is as it was made.
    """
    overlaps = overlap_by_label(found.labels, found.task, truth, labels, found.regions)
    expected = {} if found.quality is None else found.quality.dice
    score = None if found.verdict is None else found.verdict.score
    traits = image_traits(found.labels, found.uncertainty, found.confidence, expected.values(), score)
    return QualitySample(
        group,
        {name: overlap.dice for name, overlap in overlaps.items()},
        {label.name: expected.get(label.value) for label in found.task.labels},
        traits,
        is_clean,
    )
