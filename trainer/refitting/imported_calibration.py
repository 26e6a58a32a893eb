"""Temperature, calibration error and Dice of an imported model on labelled cases that no fold was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.calibration.scaling import pooled
from trainer.calibration.temperature import (
    LabelledLogits,
    expected_calibration_error,
    fit_temperature,
    informative_voxels,
)
from trainer.data.labelled_case import label_indices
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
        volume, truth = case.read_pair(labels)
        indices = label_indices(truth, task, labels)
        seen = predictor.own_grid_scores(volume)
        way_back = seen.way_back
        wanted = np.asarray(way_back.cropped(indices), np.uint8)
        places = informative_voxels(wanted, VOXELS_PER_CASE, self.rng)
        size, predicted, found = wanted[0].size, np.zeros(wanted.shape, np.uint8), []
        for number, scores in enumerate(seen.slices):
            predicted[number] = scores.numpy().argmax(0)
            here = places[(places >= number * size) & (places < (number + 1) * size)] - number * size
            found.append(scores.reshape(len(scores), -1)[:, torch.from_numpy(here)].T)
        logits = torch.cat(found).numpy()
        self.drawn.append(LabelledLogits(logits, wanted.reshape(-1)[places].astype(np.int64)))
        values = np.array([0, *(label.value for label in task.labels)], np.uint8)
        own: NDArray[np.generic] = way_back.restored(values[predicted])
        overlaps = overlap_by_label(np.asarray(own, np.uint8), task, truth, labels)
        self.dice.append({name: overlap.dice for name, overlap in overlaps.items()})
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
