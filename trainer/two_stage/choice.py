"""Which mode of each auxiliary task becomes a teacher: the better one by validation Dice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.experiment.outcome import METRICS


@dataclass(frozen=True)
class Teacher:
    """The better run of an auxiliary task.

    Attributes:
        pretext: the task.
        mode: ``joint`` or ``pretrained``.
        run: its name.
        folder: its folder.
        scores: validation Dice by mode.
        by_label: validation Dice of the chosen run by label, for weights.
    """

    pretext: str
    mode: str
    run: str
    folder: Path
    scores: dict[str, float]
    by_label: dict[str, float]


def choose_teachers(
    candidates: Mapping[str, Mapping[str, str]], inputs: Mapping[str, Path], criterion: str
) -> list[Teacher]:
    """The better mode of every auxiliary task; test cases play no part.

    Args:
        candidates: run name by mode, by auxiliary task; of equal modes the first wins.
        inputs: folder by run name.
        criterion: ``positives`` or ``empty-rule``.
    """
    key = "dice_positives_only" if criterion == "positives" else "dice_empty_rule"
    teachers = []
    for pretext, runs in candidates.items():
        validation = {mode: read_metrics(inputs[run])["validation"] for mode, run in runs.items()}
        scores = {mode: _number(figures[key]) for mode, figures in validation.items()}
        mode = max(scores, key=lambda name: scores[name])
        by_label = {name: _number(figures[key]) for name, figures in validation[mode]["by_label"].items()}
        teachers.append(Teacher(pretext, mode, runs[mode], inputs[runs[mode]], scores, by_label))
    return teachers


def best_teacher(teachers: Sequence[Teacher]) -> Teacher:
    """The teacher with the highest validation Dice; the first of equal ones."""
    return max(teachers, key=lambda teacher: teacher.scores[teacher.mode])


def class_weights(teachers: Sequence[Teacher], label_names: Sequence[str]) -> Tensor:
    """Validation Dice ``(teachers, 1 + labels)``; the background's is the mean of the labels'.

    With one foreground label for everything (a shared head) all labels count for it.
    """
    rows = []
    for teacher in teachers:
        mean = sum(teacher.by_label.values()) / len(teacher.by_label)
        rows.append([mean, *(teacher.by_label.get(name, mean) for name in label_names)])
    return torch.tensor(rows)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Metrics of a finished run."""
    content: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    metrics: dict[str, Any] = content["metrics"]
    return metrics


def _number(value: float | None) -> float:
    """Nothing to measure (null in the file) is worth nothing."""
    return 0.0 if value is None else float(value)
