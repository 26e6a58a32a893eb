"""Temperature, calibration error and Dice of an imported model on labelled cases that no fold was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.imported.score_maps import WayBack
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.calibration.scaling import pooled
from trainer.calibration.temperature import (
    LabelledLogits,
    expected_calibration_error,
    fit_temperature,
    informative_voxels,
)
from trainer.data.labelled_case import truth_of
from trainer.layout.case import Case
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.overlap import mean_defined

VOXELS_PER_CASE = 20_000


@dataclass
class ImportedCalibration:
    """Sees every held-out case once, and keeps the scores of some voxels near its structures.

    Attributes:
        rng: draws the voxels.
        groups: patient of each case.
        drawn: scores and labels of voxels, by case.
        dice: by label name, by case.
    """

    rng: np.random.Generator
    groups: list[str] = field(default_factory=list)
    drawn: list[LabelledLogits] = field(default_factory=list)
    dice: list[Mapping[str, float]] = field(default_factory=list)

    def add(self, predictor: ImportedPredictor, case: Case, labels: Mapping[int, str]) -> None:
        """Segment a case and compare.

        Args:
            predictor: the model, uncalibrated.
            case: with a label file.
            labels: the dataset's label names by value.

        Raises:
            DatasetError: the label map does not lie on the image's grid, or holds values without a name.
            InputError: a file cannot be read, or does not fit the model.
        """
        (task,) = predictor.manifest.tasks
        volume, stored = case.read_pair(labels)
        truth = truth_of(stored, task, labels)
        seen = predictor.own_grid_scores(volume)
        wanted = _cropped(seen.way_back, truth)
        places = informative_voxels(wanted.max(axis=0), VOXELS_PER_CASE, self.rng)
        predicted = np.zeros(wanted.shape, np.uint8)
        size, found = predicted[0, 0].size, []
        for number, scores in enumerate(seen.slices):
            predicted[:, number] = ((scores > 0) if task.are_regions else scores.argmax(0)).numpy()
            here = places[(places >= number * size) & (places < (number + 1) * size)] - number * size
            found.append(scores.reshape(len(scores), -1)[:, torch.from_numpy(here)].T)
        logits = torch.cat(found).float().numpy()
        labels_there = wanted.reshape(len(wanted), -1)[:, places].astype(np.int64)
        one = LabelledLogits(logits, labels_there[0])
        self.drawn.append(_questions(logits, labels_there) if task.are_regions else one)
        own = np.stack([np.asarray(seen.way_back.restored(part), np.uint8) for part in predicted])
        self.dice.append(_dice(own, task, stored, labels))
        self.groups.append(case.group)

    def measured(self, task: TaskInfo) -> TaskInfo:
        """The task with what the cases say; calibration errors are those with temperatures of the other patients."""
        names = self.dice[0] if self.dice else ()
        means = {name: mean_defined([own[name] for own in self.dice]) for name in names}
        return replace(
            task,
            temperature=fit_temperature(pooled(self.drawn)),
            held_out_cases=len(self.groups),
            held_out_dice={name: value for name, value in means.items() if not np.isnan(value)},
            calibration={
                "ece": expected_calibration_error(pooled(list(self._scaled())), 1.0),
                "ece_uncalibrated": expected_calibration_error(pooled(self.drawn), 1.0),
            },
        )

    def _scaled(self) -> list[LabelledLogits]:
        """Scores of each case over the temperature that cases of the other patients give."""
        scaled = []
        for group, own in zip(self.groups, self.drawn, strict=True):
            others = [part for name, part in zip(self.groups, self.drawn, strict=True) if name != group]
            temperature = fit_temperature(pooled(others)) if others else 1.0
            scaled.append(replace(own, logits=own.logits / np.float32(temperature)))
        return scaled


def _cropped(way_back: WayBack, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The truth as the network sees it, ``(1, Z, Y, X)`` of labels or ``(R, Z, Y, X)`` of regions."""
    parts = truth if truth.ndim == 4 else truth[None]
    return np.stack([np.asarray(way_back.cropped(part), np.uint8) for part in parts])


def _questions(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> LabelledLogits:
    """Each region is a question of its own, there or not; one temperature serves all, as in networks of our own.

    Args:
        logits: ``(N, R)``.
        truth: ``(R, N)``, 1 where a voxel belongs to the region.
    """
    scores = logits.T.reshape(-1)
    return LabelledLogits(np.stack((np.zeros_like(scores), scores), axis=1), truth.reshape(-1))


def _dice(
    own: NDArray[np.uint8], task: TaskInfo, stored: NDArray[np.integer], labels: Mapping[int, str]
) -> dict[str, float]:
    """By label name.

    Args:
        own: positions in the head ``(1, Z, Y, X)``, or regions ``(R, Z, Y, X)``, on the image's own grid.
        task: of the model.
        stored: label values of the dataset on the same grid.
        labels: their names.
    """
    values = np.array([0, *(label.value for label in task.labels)], np.uint8)
    painted, regions = (own[0], own.astype(np.bool_)) if task.are_regions else (values[own[0]], None)
    overlaps = overlap_by_label(painted, task, stored, labels, regions)
    return {name: overlap.dice for name, overlap in overlaps.items()}
