"""Settings of two-stage learning: the table ``[two_stage]`` of a configuration file, and everything a run must know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import TrainingConfig, config_from_dict, settings_from_dict
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.pretraining.pretext.catalogue import pretexts_named

# Settings that no run but the student's looks at.
STUDENT_ONLY = (
    "student_steps", "distillation_weight", "temperature", "teacher_weights", "distil_other_datasets", "student_start",
    "student_views", "criterion",
)  # fmt: skip


@dataclass(frozen=True)
class TwoStageConfig:
    """What two-stage learning does beyond ordinary training.

    Attributes:
        pretexts: names of the auxiliary tasks; empty: all five.
        steps: of every training on labels: from scratch, joint, fine-tuning, and the student unless ``student_steps``.
        pretraining_steps: of every pre-training.
        student_steps: 0: ``steps``.
        finetuning_learning_rate: 0: the training's own.
        test_fraction: share of the groups that no choice ever looks at.
        validation_groups: groups with labels, beside those trained on, by which choices are made.
        criterion: Dice by which teachers are chosen: over images that have the structure (``positives``), or with the
            empty-image rule (``empty-rule``).
        distillation_weight: of the distillation term beside the supervised one.
        temperature: of teachers and student in the distillation term.
        teacher_weights: how the teachers' probabilities are averaged: alike (``uniform``), by their validation Dice of
            each label (``per-class``), or by how sure each one is at a voxel (``per-voxel``).
        distil_other_datasets: whether images of other datasets take part in the distillation.
        student_start: ``random`` weights or those of the ``best-teacher``.
        student_views: in the distillation term the student sees the ``same`` views as its teachers, or ``perturbed``
            ones.
    """

    pretexts: tuple[str, ...] = ()
    steps: int = 2000
    pretraining_steps: int = 2000
    student_steps: int = 0
    finetuning_learning_rate: float = 0.0
    test_fraction: float = 0.25
    validation_groups: int = 5
    criterion: Literal["positives", "empty-rule"] = "positives"
    distillation_weight: float = 1.0
    temperature: float = 2.0
    teacher_weights: Literal["uniform", "per-class", "per-voxel"] = "uniform"
    distil_other_datasets: bool = True
    student_start: Literal["random", "best-teacher"] = "random"
    student_views: Literal["same", "perturbed"] = "same"

    def __post_init__(self) -> None:
        pretexts_named(self.pretexts)
        positive = min(self.steps, self.pretraining_steps, self.validation_groups, self.temperature)
        if positive <= 0 or not 0 < self.test_fraction < 1 or min(self.distillation_weight, self.student_steps) < 0:
            raise UsageError(
                "steps, groups and temperature of [two_stage] must be positive, test_fraction between 0 and 1",
                remedy="Correct the configuration",
            )

    @property
    def pretext_names(self) -> tuple[str, ...]:
        """The auxiliary tasks, in order."""
        return tuple(task.name for task in pretexts_named(self.pretexts))


@dataclass(frozen=True)
class Settings:
    """All settings of an experiment.

    Attributes:
        training: of every training; its seed is that of the run.
        auxiliary: λ, its schedule, and images per batch.
        two_stage: the rest.
    """

    training: TrainingConfig
    auxiliary: AuxiliaryConfig
    two_stage: TwoStageConfig

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self) | {"training": self.training.as_dict()}

    def of_teachers(self) -> Settings:
        """The settings with defaults for what concerns the student alone.

        Runs before the student are known by these: another student does not need new teachers.
        """
        fields = dataclasses.fields(TwoStageConfig)
        defaults: dict[str, Any] = {field.name: field.default for field in fields if field.name in STUDENT_ONLY}
        return dataclasses.replace(self, two_stage=dataclasses.replace(self.two_stage, **defaults))


def settings_from_plain(plain: Mapping[str, Any]) -> Settings:
    """The settings of `Settings.as_dict`."""
    return Settings(
        config_from_dict(dict(plain["training"])),
        settings_from_dict(AuxiliaryConfig, dict(plain["auxiliary"])),
        settings_from_dict(TwoStageConfig, dict(plain["two_stage"])),
    )
