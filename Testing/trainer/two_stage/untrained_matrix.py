"""The whole matrix without any training: what every run is given is noted, and its Dice are those that are wished for.

Everything but the two training functions and the segmentation is real, the files between the runs above all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.model.model_file import Model, reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset
from trainer.data.provenance import KEY, Generation, Provenance
from trainer.layout.case import Case
from trainer.report.run_folder import RunFolder
from trainer.training.recipe import Recipe
from trainer.training.training import Budget, PreparedData
from trainer.two_stage.examination import Examination

VOXELS = 1000
ENSEMBLE = "average"


@dataclass(frozen=True)
class Training:
    """What a training was given."""

    data: PreparedData
    config: TrainingConfig
    steps: int | None
    recipe: Recipe
    said: Mapping[str, Any]
    generation: Generation | None = None


@dataclass
class UntrainedMatrix:
    """Stands in for training and measuring.

    Attributes:
        validation, test: Dice by method (``joint-denoising``), equal for every case with the structure.
        validation_cases, test_cases: names.
        spoilt: methods that mark something in validation images without the structure.
        trainings, pretrainings: by run name, in order of appearance.
        measured: methods by part of the cases, in order of appearance.
    """

    validation: dict[str, float]
    test: dict[str, float]
    validation_cases: set[str]
    test_cases: set[str]
    spoilt: frozenset[str] = frozenset()
    trainings: dict[str, Training] = field(default_factory=dict)
    pretrainings: dict[str, Training] = field(default_factory=dict)
    measured: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    def train_prepared(
        self,
        data: PreparedData,
        output: Path,
        config: TrainingConfig,
        budget: Budget,
        *,
        recipe: Recipe,
        said: Mapping[str, Any],
        generation: Generation,
        **others: object,
    ) -> SimpleNamespace:
        """Note everything and write a model of random weights under the run's name."""
        name = output.parent.name.split(".")[0]
        self.trainings[name] = Training(data, config, budget.steps, recipe, said, generation)
        folder = RunFolder(output)
        folder.append({"step": 1, "loss": 0.5})
        folder.append({"step": budget.steps, "dice": {data.plan.tasks[0].name: self.validation[name.split("-", 2)[2]]}})
        folder.checkpoint.touch()
        network = tiny_network(len(self.trainings))
        seen = {KEY: Provenance((generation,)).as_list()}
        save_model(output, replace(tiny_manifest(), name=name, training=seen), network, reference())
        return SimpleNamespace(training={"steps": budget.steps, "minutes": 0.0})

    def train(
        self,
        data: PreparedData,
        config: TrainingConfig,
        budget: Budget,
        run: RunFolder,
        *,
        recipe: Recipe,
        **others: object,
    ) -> SimpleNamespace:
        """Note everything about a pre-training; its network has ones everywhere."""
        self.pretrainings[run.path.parent.name.split(".")[0]] = Training(data, config, budget.steps, recipe, {})
        return SimpleNamespace(averaged_network=lambda: network_of_ones(data.plan.architecture))

    def examine(
        self, models: Sequence[Model], dataset: Dataset, cases: Sequence[Case], device: torch.device
    ) -> Examination:
        """Voxel counts of the Dice that are wished for: a case with the structure, and one without."""
        methods = tuple(model.manifest.name.split("-", 2)[2] for model in models)
        names = {case.name for case in cases}
        assert names in (self.test_cases, self.validation_cases)
        part = "test" if names == self.test_cases else "validation"
        self.measured.append((methods, part))
        dice = (self.validation if part == "validation" else self.test)[methods[0] if len(methods) == 1 else ENSEMBLE]
        marked_in_empty = 1 if part == "validation" and self.spoilt & set(methods) else 0
        return {"part1": [[VOXELS, VOXELS, round(VOXELS * dice)], [marked_in_empty, 0, 0]]}


@cache
def reference() -> dict[str, Tensor]:
    """Of a model; fitted once."""
    return reference_tensors(tiny_images(), tiny_reference())


def network_of_ones(architecture: Architecture) -> SegmentationNetwork:
    """Recognisable weights."""
    network = SegmentationNetwork(architecture)
    with torch.no_grad():
        for weights in network.parameters():
            weights.fill_(1.0)
    return network
