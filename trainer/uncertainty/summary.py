"""From the cases' statistics to figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.interval import PatientDraws, drawn_interval
from trainer.metrics.weighted_figure import mean_of_defined, weighted_mean, weighted_sum
from trainer.uncertainty import error_detection, reliability
from trainer.uncertainty.case_statistics import CALIBRATION_REGIONS, ERROR_REGIONS, CaseStatistics
from trainer.uncertainty.dice_prediction import (
    RECALIBRATIONS,
    Segments,
    collect_segments,
    recalibrated,
    spearman_rounds,
)

Floats = NDArray[np.float64]
Figures = dict[str, Floats]
"""Name to ``(1 + rounds,)``: the figure itself, then its bootstrap rounds."""


@dataclass(frozen=True)
class TaskCases:
    """The cases of a task under one estimator.

    Attributes:
        groups: group by case.
        cases: statistics by case.
        weights: ``(1 + rounds, cases)``: all ones, then bootstrap rounds.
    """

    groups: tuple[str, ...]
    cases: tuple[CaseStatistics, ...]
    weights: Floats

    @property
    def group_count(self) -> int:
        """Number of distinct groups."""
        return len(set(self.groups))

    def stacked(self, name: str, calibration: int) -> Floats:
        """One field of all cases under one calibration, ``(cases, ...)``."""
        return np.stack([getattr(case, name)[calibration] for case in self.cases])


def patient_weights(groups: Mapping[str, Sequence[str]], seed: int, rounds: int) -> dict[str, Floats]:
    """Weights of `TaskCases` by task. Every patient is drawn once, for all tasks and estimators: tasks of different
    patients are drawn independently, and differences between estimators are paired.

    Args:
        groups: group (patient) by case, by task.
        seed: of the draws.
        rounds: number of rounds.
    """
    draws = PatientDraws([g for names in groups.values() for g in names], np.random.default_rng(seed), rounds)
    return {task: np.concatenate([np.ones((1, len(names))), draws.weights(names)]) for task, names in groups.items()}


def calibration_figures(task: TaskCases, calibration: int) -> Figures:
    """Calibration errors of one task under one calibration, by region."""
    tables, errors = task.stacked("reliability", calibration), task.stacked("squared_error", calibration)
    figures: Figures = {}
    for index, region in enumerate(CALIBRATION_REGIONS):
        table, total = (weighted_sum(task.weights, values[:, index]) for values in (tables, errors))
        if not total[0, 0]:
            continue
        voxels = total[..., 0] if region == "whole" else None
        own_voxels = errors[:, index, 0] if region == "whole" else None
        figures[f"{region}_ece"] = reliability.expected_calibration_error(table, voxels)
        by_case = reliability.expected_calibration_error(tables[:, index], own_voxels)
        figures[f"{region}_ece_mean_of_cases"] = weighted_mean(task.weights, by_case)
        figures[f"{region}_mce"] = reliability.maximum_calibration_error(table)
        figures[f"{region}_ace"] = reliability.average_calibration_error(table)
        figures[f"{region}_brier"] = reliability.brier_score(total)
    return figures


def detection_figures(task: TaskCases, calibration: int) -> Figures:
    """How well uncertainty tells wrong voxels, by region, and seconds per case."""
    histograms = task.stacked("errors", calibration)
    figures: Figures = {}
    for index, region in enumerate(ERROR_REGIONS):
        pooled = weighted_sum(task.weights, histograms[:, index])
        figures[f"{region}_auroc"] = error_detection.auroc(pooled)
        figures[f"{region}_aurc"] = error_detection.area_under_risk_coverage(pooled)
        figures[f"{region}_error_rate"] = error_detection.error_rate(pooled)
    figures["seconds"] = weighted_mean(task.weights, np.array([case.seconds for case in task.cases]))
    return figures


def segment_figures(segments: Segments, weights: Floats) -> Figures:
    """Correlation and error of the expected Dice, raw and recalibrated, and of the mean confidence."""
    forms = {"expected_dice": segments.predicted, "mean_confidence": segments.confidence}
    forms |= {f"expected_dice_{kind}": recalibrated(segments, kind) for kind in RECALIBRATIONS}
    figures: Figures = {}
    for name, foretold in forms.items():
        figures[f"{name}_spearman"] = spearman_rounds(segments, foretold, weights)
        gaps = np.abs(foretold - segments.real)
        figures[f"{name}_error"] = weighted_mean(weights[:, segments.case], gaps)
    return figures


def all_segments(tasks: Mapping[str, TaskCases], calibration: int) -> tuple[Segments, Floats]:
    """Segments of all tasks, and the weights of all their cases."""
    rows = [(name, task.groups, task.stacked("segments", calibration)) for name, task in tasks.items()]
    return collect_segments(rows), np.concatenate([task.weights for task in tasks.values()], axis=1)


def mean_over_tasks(figures: Sequence[Figures]) -> Figures:
    """Mean over the tasks in which a figure is defined."""
    result: Figures = {}
    for name in dict.fromkeys(key for entry in figures for key in entry):
        result[name] = mean_of_defined(np.stack([entry[name] for entry in figures if name in entry]))
    return result


def entries(figures: Figures, groups: int) -> dict[str, dict[str, Any]]:
    """Plain values for JSON: ``{"value": float, "interval": [low, high] or None}`` by name."""
    return {
        name: {"value": float(values[0]), "interval": drawn_interval(values[1:], groups)}
        for name, values in figures.items()
    }
