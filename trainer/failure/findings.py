"""From measured images to the figures of every confidence, by task and as means over tasks, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.failure.confidence import BASELINE
from trainer.failure.failure_flag import FAILURE_DICE, failure_auroc, false_alarm_rate
from trainer.failure.filed_quality import FiledQuality, filed_bound_coverage
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.risk_coverage import (
    area_under_risk_coverage,
    excess_area,
    generalised_area,
    normalised_area,
    optimal_area,
    risk_coverage_curve,
)
from trainer.failure.shipped_quality import bound_coverage
from trainer.failure.verdict_worth import verdict_worth
from trainer.metrics.interval import PatientDraws, drawn_interval
from trainer.metrics.task_mean import task_mean
from trainer.metrics.weighted_figure import weighted_mean, weighted_spearman

Floats = NDArray[np.float64]
Figures = dict[str, Floats]
"""Name to ``(1 + rounds,)``: the figure itself, then its bootstrap rounds."""

COVERAGES = np.linspace(0.02, 1.0, 50)
GAIN = "gain_over_entropy"
ESTIMATES = (
    "expected_dice",
    "random_forest",
    "quality_regression",
    "quality_forest",
    "quality_regression_faults_known",
    "quality_forest_faults_known",
    "predicted_dice",
    "predicted_dice_faults_known",
    "predicted_dice_filed",
)
"""Rows that foretell the Dice itself, so that their error can be told, too."""


@dataclass(frozen=True)
class _Task:
    """Images of a task with their confidences.

    Attributes:
        images: whose Dice is defined.
        rows: confidence ``(N,)`` by name.
        weights: ``(1 + rounds, N)``: all ones, then how often each image was drawn.
    """

    images: Sequence[MeasuredImage]
    rows: Mapping[str, Floats]
    weights: Floats

    @property
    def dice(self) -> Floats:
        """By image."""
        return np.array([image.mean_dice for image in self.images])

    @property
    def patients(self) -> frozenset[str]:
        """Whose images they are."""
        return frozenset(image.group for image in self.images)


def findings(
    images: Sequence[MeasuredImage],
    rows: Mapping[str, Floats],
    seed: int,
    rounds: int,
    filed: FiledQuality | None = None,
) -> dict[str, Any]:
    """All figures as plain values.

    Every patient is drawn once for all tasks, kinds of artefact and rows, so that differences between rows are paired.
    Ranks are compared within tasks only: over all tasks together a row may look good because it tells tasks apart.

    Args:
        images: of all tasks, whose Dice is defined.
        rows: confidence ``(N,)`` by name; of an image of a task in which it could not be fitted, NaN.
        seed: of the draws.
        rounds: number of rounds.
        filed: what the file of their model says of quality.

    Returns:
        ``tasks`` by name; ``means`` over tasks, each with the number of ``tasks`` in which it is defined;
        ``verdict``: what the check flags and lets pass; ``bound``: how often the bound on the Dice holds, and
        ``filed_bound``: how often that of the file does in patients whom nothing in it knows.
    """
    groups = [image.group for image in images]
    draws = PatientDraws(groups, np.random.default_rng(seed), rounds)
    weights = np.concatenate([np.ones((1, len(images))), draws.weights(groups)])
    tasks: dict[str, _Task] = {}
    for name in dict.fromkeys(image.task for image in images):
        own = np.array([image.task == name for image in images])
        of_task = [image for image in images if image.task == name]
        tasks[name] = _Task(of_task, {row: values[own] for row, values in rows.items()}, weights[:, own])
    figures = {name: _task_figures(task) for name, task in tasks.items()}
    patients = {name: task.patients for name, task in tasks.items()}
    fitted = {row: {name: own[row] for name, own in figures.items() if row in own} for row in rows}
    return {
        "tasks": {name: _task_entry(tasks[name], own) for name, own in figures.items()},
        "means": {row: means_over_tasks(by_task, patients) for row, by_task in fitted.items() if by_task},
        "verdict": verdict_worth(images, weights),
        "bound": bound_coverage(images),
        "filed_bound": filed_bound_coverage(images, filed) if filed else {},
    }


def row_figures(confidence: Floats, dice: Floats, weights: Floats) -> Figures:
    """All figures of one confidence in one task."""
    risk, failed = 1 - dice, dice < FAILURE_DICE
    return {
        "aurc": area_under_risk_coverage(confidence, risk, weights),
        "e_aurc": excess_area(confidence, risk, weights),
        "n_aurc": normalised_area(confidence, risk, weights),
        "augrc": generalised_area(confidence, risk, weights),
        "failure_auroc": failure_auroc(confidence, failed, weights),
        "fpr95": false_alarm_rate(confidence, failed, weights),
        "failures_accepted": false_alarm_rate(-confidence, ~failed, weights),
        "spearman": weighted_spearman(confidence, dice, weights),
    }


def means_over_tasks(
    figures: Mapping[str, Figures], patients: Mapping[str, frozenset[str]]
) -> dict[str, dict[str, Any]]:
    """Mean of every figure of a row over the tasks in which it is defined, as plain values.

    Rows may be defined in different tasks, of which some are harder than others: their means then cannot be compared,
    and whoever shows them must say so.

    Args:
        figures: of the row, by task.
        patients: by task.

    Returns:
        as `entries`, with ``tasks``: how many there are. An interval rests on the patients of these tasks alone.
    """
    result = {}
    for name in dict.fromkeys(name for own in figures.values() for name in own):
        by_task = {task: own[name] for task, own in figures.items() if name in own}
        defined = [task for task, values in by_task.items() if not np.isnan(values[0])]
        number = len(frozenset().union(*(patients[task] for task in defined)))
        result[name] = entries({name: task_mean(list(by_task.values()))}, number)[name] | {"tasks": len(defined)}
    return result


def entries(figures: Figures, patients: int) -> dict[str, dict[str, Any]]:
    """Plain values for JSON: ``{"value": float, "interval": [low, high] or None}`` by name."""
    return {
        name: {"value": float(values[0]), "interval": drawn_interval(values[1:], patients)}
        for name, values in figures.items()
    }


def _task_figures(task: _Task) -> dict[str, Figures]:
    # A row that could not be fitted for this task has no figures.
    usable = {row: values for row, values in task.rows.items() if not np.isnan(values).any()}
    figures = {row: row_figures(values, task.dice, task.weights) for row, values in usable.items()}
    for row in figures:
        figures[row][GAIN] = _gain(figures[row]["aurc"], figures[BASELINE]["aurc"])
        if row in ESTIMATES:
            # Where nothing was found, a Dice of 0 is foretold.
            told = np.clip(np.where(np.isfinite(usable[row]), usable[row], 0.0), 0.0, 1.0)
            figures[row]["error"] = weighted_mean(task.weights, np.abs(told - task.dice))
    return figures


def _gain(area: Floats, baseline: Floats) -> Floats:
    """The share of the baseline's area that a row saves; NaN in rounds in which there is none to save."""
    return np.asarray(1 - area / np.where(baseline > 0, baseline, np.nan), dtype=np.float64)


def _task_entry(task: _Task, figures: Mapping[str, Figures]) -> dict[str, Any]:
    dice, ones = task.dice, task.weights[:1]
    clean = np.array([image.kind == CLEAN for image in task.images])
    curves = {row: _curve(task.rows[row], dice) for row in figures}
    return {
        "images": len(dice),
        "patients": len(task.patients),
        "clean_images": int(clean.sum()),
        "failures": int((dice < FAILURE_DICE).sum()),
        "mean_dice": float(dice.mean()),
        "mean_dice_clean": float(dice[clean].mean()) if clean.any() else float("nan"),
        "best_aurc": float(optimal_area(1 - dice, ones)[0]),
        "seconds": float(np.mean([image.seconds for image in task.images])),
        "rows": {row: entries(own, len(task.patients)) for row, own in figures.items()},
        "risk_coverage": {"coverage": COVERAGES.tolist(), "best": _curve(dice, dice), **curves},
    }


def _curve(confidence: Floats, dice: Floats) -> list[float]:
    coverage, risk = risk_coverage_curve(confidence, 1 - dice)
    return [float(value) for value in np.interp(COVERAGES, coverage, risk)]
