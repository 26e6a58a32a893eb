"""What the measurements say: figures by task and estimator, the choice, and the bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.calibration.scaling import Scaling
from trainer.metrics.weighted_figure import weighted_sum
from trainer.uncertainty.case_statistics import CALIBRATION_REGIONS, ERROR_REGIONS, RING_VOXELS
from trainer.uncertainty.error_detection import risk_coverage
from trainer.uncertainty.reliability import BINS
from trainer.uncertainty.summary import (
    Figures,
    Floats,
    TaskCases,
    all_segments,
    calibration_figures,
    detection_figures,
    entries,
    mean_over_tasks,
    segment_figures,
)

SHIPPED = "single_pass"
BEST_FORM = "surface_temperature"
RING_BAR, AUROC_BAR, SPEARMAN_BAR = 0.05, 0.90, 0.6
COVERAGES = np.linspace(0.02, 1.0, 50)


@dataclass(frozen=True)
class TaskMeasured:
    """Measurements of one task.

    Attributes:
        task: of the model.
        cases: by estimator, those that apply to the task.
        calibrations: names by estimator, in the order of the statistics.
        scalings: of the shipped estimator, by calibration, then by case.
        passes: network passes by estimator.
    """

    task: TaskInfo
    cases: Mapping[str, TaskCases]
    calibrations: Mapping[str, tuple[str, ...]]
    scalings: Mapping[str, Sequence[Scaling]]
    passes: Mapping[str, int]

    def under(self, estimator: str) -> tuple[TaskCases, int]:
        """Cases and number of the best calibration; an estimator that does not apply leaves the single pass."""
        name = estimator if estimator in self.cases else SHIPPED
        return self.cases[name], self.calibrations[name].index(BEST_FORM)


@dataclass(frozen=True)
class Measured:
    """All measurements.

    Attributes:
        tasks: in the order of the datasets.
        estimators: names, the shipped one first.
    """

    tasks: tuple[TaskMeasured, ...]
    estimators: tuple[str, ...]


def findings(measured: Measured) -> dict[str, Any]:
    """Plain values for ``metrics.json``."""
    tasks = {entry.task.name: _task_findings(entry) for entry in measured.tasks}
    estimators = {name: _estimator_findings(measured, name) for name in measured.estimators}
    return {
        "settings": {
            "grid": "the network's own",
            "bins": BINS,
            "ring_voxels": RING_VOXELS,
            "calibration_regions": list(CALIBRATION_REGIONS),
            "error_regions": list(ERROR_REGIONS),
            "bootstrap_rounds": len(measured.tasks[0].cases[SHIPPED].weights) - 1,
            "bootstrap_unit": "group",
        },
        "tasks": tasks,
        "forms": {form: _form_findings(measured, form) for form in measured.tasks[0].calibrations[SHIPPED]},
        "estimators": estimators,
        "choice": choice(estimators),
        "bars": bars(tasks, estimators),
    }


def _task_findings(entry: TaskMeasured) -> dict[str, Any]:
    shipped = entry.cases[SHIPPED]
    names = entry.calibrations[SHIPPED]
    groups = shipped.group_count
    detection: dict[str, Any] = {}
    for estimator, cases in entry.cases.items():
        best = entry.calibrations[estimator].index(BEST_FORM)
        figures = detection_figures(cases, best) | _dice_figures(entry.task.name, cases, best)
        figures |= {k: v for k, v in calibration_figures(cases, best).items() if k.startswith("ring_ece")}
        detection[estimator] = {"passes": entry.passes[estimator], **entries(figures, groups)}
    best = names.index(BEST_FORM)
    segments, _ = all_segments({entry.task.name: shipped}, best)
    return {
        "cases": len(shipped.groups),
        "groups": groups,
        "cross_fitted": groups > 1,
        "scalings": {name: _distinct(entry.scalings[name]) for name in names},
        "calibration": {
            name: entries(calibration_figures(shipped, k) | _dice_figures(entry.task.name, shipped, k), groups)
            for k, name in enumerate(names)
        },
        "reliability": {name: _tables(shipped, k) for k, name in enumerate(names)},
        "estimators": detection,
        "segments": {
            "predicted_dice": segments.predicted.tolist(),
            "real_dice": segments.real.tolist(),
            "missed": _missed(shipped, best),
        },
    }


def _dice_figures(task: str, cases: TaskCases, calibration: int) -> Figures:
    return segment_figures(*all_segments({task: cases}, calibration))


def _missed(cases: TaskCases, calibration: int) -> int:
    """Structures that are there but of which no voxel was found: they have no expected Dice."""
    table = cases.stacked("segments", calibration)
    return int(np.count_nonzero((table[..., 3] == 0) & (table[..., 4] > 0)))


def _tables(cases: TaskCases, calibration: int) -> dict[str, list[list[float]]]:
    tables = cases.stacked("reliability", calibration).sum(axis=0)
    return {region: tables[index].tolist() for index, region in enumerate(CALIBRATION_REGIONS)}


def _distinct(scalings: Sequence[Scaling]) -> list[dict[str, float | None]]:
    return [asdict(scaling) for scaling in dict.fromkeys(scalings)]


def _form_findings(measured: Measured, form: str) -> dict[str, Any]:
    """One form of calibration of the shipped estimator over all tasks."""
    chosen = {e.task.name: (e.cases[SHIPPED], e.calibrations[SHIPPED].index(form)) for e in measured.tasks}
    figures = mean_over_tasks([calibration_figures(*pair) for pair in chosen.values()])
    return entries(figures | _pooled_dice(chosen), _group_count(measured))


def _pooled_dice(chosen: Mapping[str, tuple[TaskCases, int]]) -> Figures:
    """Figures of the segments of all tasks, and the mean correlation within a task.

    Over all tasks, telling a task that the model does well from one that it does badly is most of the correlation.
    """
    pooled = segment_figures(*all_segments({task: _only(*pair) for task, pair in chosen.items()}, 0))
    within = mean_over_tasks([_dice_figures(task, *pair) for task, pair in chosen.items()])
    return pooled | {"expected_dice_spearman_within_tasks": within["expected_dice_spearman"]}


def _group_count(measured: Measured) -> int:
    return len({group for entry in measured.tasks for group in entry.cases[SHIPPED].groups})


def _estimator_findings(measured: Measured, name: str) -> dict[str, Any]:
    """Over all tasks; where an estimator does not apply, the single pass stands in, as it would in practice."""
    chosen = {entry.task.name: entry.under(name) for entry in measured.tasks}
    detection = mean_over_tasks([detection_figures(*pair) for pair in chosen.values()])
    ring = mean_over_tasks([calibration_figures(*pair) for pair in chosen.values()])
    detection |= {key: ring[key] for key in ("ring_ece", "predicted_ring_ece", "whole_ece", "whole_brier")}
    figures = detection | _pooled_dice(chosen)
    segments, _ = all_segments({task: _only(*pair) for task, pair in chosen.items()}, 0)
    return {
        "tasks": [entry.task.name for entry in measured.tasks if name in entry.cases],
        "figures": entries(figures, _group_count(measured)),
        "risk_coverage": _curve(list(chosen.values())),
        "segments": len(segments.real),
    }


def _only(cases: TaskCases, calibration: int) -> TaskCases:
    """The same cases under one calibration alone."""
    kept = slice(calibration, calibration + 1)
    return replace(cases, cases=tuple(replace(case, segments=case.segments[kept]) for case in cases.cases))


def _curve(chosen: Sequence[tuple[TaskCases, int]]) -> dict[str, list[float]]:
    """Mean risk over tasks at fixed coverages of the body of interest."""
    risks: list[Floats] = []
    for cases, calibration in chosen:
        near = cases.stacked("errors", calibration)[:, ERROR_REGIONS.index("near")]
        coverage, risk = risk_coverage(weighted_sum(cases.weights[:1], near)[0])
        risks.append(np.interp(COVERAGES, coverage, risk))
    return {"coverage": COVERAGES.tolist(), "risk": np.mean(risks, axis=0).tolist()}


def choice(estimators: Mapping[str, Any]) -> dict[str, Any]:
    """The estimator with the best figure per unit of time: error AUROC beyond chance, per second of a case."""
    rates = {
        name: (entry["figures"]["near_auroc"]["value"] - 0.5) / max(entry["figures"]["seconds"]["value"], 1e-9)
        for name, entry in estimators.items()
    }
    return {"auroc_beyond_chance_per_second": rates, "best": max(rates, key=lambda name: rates[name])}


def bars(tasks: Mapping[str, Any], estimators: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The bars that were set before the measurement, and whether they are met."""
    found = []
    for name, task in tasks.items():
        found.append(_bar(f"ring ECE of {name}", task["calibration"][BEST_FORM]["ring_ece"], RING_BAR, False))
    figures = estimators[SHIPPED]["figures"]
    found.append(_bar("voxel-error AUROC, body of interest", figures["near_auroc"], AUROC_BAR, True))
    found.append(_bar("voxel-error AUROC, whole image", figures["whole_auroc"], AUROC_BAR, True))
    found.append(_bar("Spearman of predicted and real Dice", figures["expected_dice_spearman"], SPEARMAN_BAR, True))
    return found


def _bar(what: str, entry: Mapping[str, Any], limit: float, at_least: bool) -> dict[str, Any]:
    value = entry["value"]
    met = bool(value >= limit) if at_least else bool(value <= limit)
    return {"what": what, **entry, "limit": limit, "at_least": at_least, "met": met}
