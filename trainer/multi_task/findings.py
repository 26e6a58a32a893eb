"""What the runs of a multi-task experiment say: figures of every arm, differences from the reference, the claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from trainer.metrics.interval import Limits, PatientDraws
from trainer.metrics.multiple_comparison import holm
from trainer.multi_task.cell import (
    DISTANCES,
    FIGURES,
    SMALLER_IS_BETTER,
    Cell,
    case_values,
    figure,
    make_cell,
    paired,
    patients_of,
)
from trainer.multi_task.design import Design
from trainer.multi_task.interval import ANYWHERE, interval_over_patients_and_seeds
from trainer.multi_task.settings import MultiTaskPlan

SCHEMA = "multitaskseg-multi-task/1"
ROUNDS = 2000
BARS = (("dice", 0.75), ("ring_ece", 0.80))
"""On which share of the datasets ours is to be at least as good as the reference."""

Floats = NDArray[np.float64]
Metrics = Mapping[str, Mapping[str, Any]]
Cells = Mapping[tuple[int, str, str], Cell]


def findings(plan: MultiTaskPlan, design: Design, metrics: Metrics, failures: Mapping[str, str]) -> dict[str, Any]:
    """Everything that is reported, as plain values.

    Args:
        plan, design: of the experiment.
        metrics: by name of the runs that succeeded.
        failures: by name of those that did not.
    """
    cells = _cells(plan, design, metrics)
    draws = _draws(design)
    settings = plan.settings
    regimes = [_regime(plan, design, cells, draws, count) for count in settings.labelled_groups]
    return {
        "schema": SCHEMA,
        "title": settings.title,
        "config": plan.as_dict(),
        "datasets": {
            name: {
                "cases": len(dataset.cases),
                "groups": len(dataset.groups),
                "tested_groups": len(design.tested(name)),
                "free_groups": design.free(name),
                "modality": dataset.modality,
            }
            for name, dataset in design.datasets.items()
        },
        "arms": [arm.name for arm in settings.arms],
        "folds": settings.folds,
        "spare_held_out": settings.spare_held_out,
        "reference": settings.reference,
        "ours": settings.ours,
        "regimes": regimes,
        "limited": {arm.name: design.datasets_of(arm) for arm in settings.arms if arm.datasets},
        "compute": _compute(plan, design, metrics),
        "peers": _peers(plan, design, metrics),
        "failures": dict(failures),
    }


def _cells(plan: MultiTaskPlan, design: Design, metrics: Metrics) -> dict[tuple[int, str, str], Cell]:
    cells = {}
    for count in plan.settings.labelled_groups:
        for arm in plan.settings.arms:
            for name in design.datasets_of(arm):
                runs = {seed: design.runs_of(arm, name, count, seed) for seed in plan.settings.seeds}
                # Without one of its folds a seed has other patients than the others.
                whole = {seed: own for seed, own in runs.items() if all(run in metrics for run in own)}
                folds = [
                    make_cell({seed: metrics[own[fold]] for seed, own in whole.items()}, name)
                    for fold in range(len(design.divisions) if whole else 0)
                ]
                if folds:
                    cells[count, name, arm.name] = reduce(Cell.joined, folds)
    return cells


def _draws(design: Design) -> PatientDraws:
    """The same patients for all datasets and arms in a round."""
    tested = {group for name in design.names for group in design.tested(name)}
    return PatientDraws(tested, np.random.default_rng(0), ROUNDS)


def _regime(plan: MultiTaskPlan, design: Design, cells: Cells, draws: PatientDraws, count: int) -> dict[str, Any]:
    """One number of labels: every arm on every dataset, and every arm against the reference."""
    settings, names = plan.settings, design.names
    rows = [
        {"dataset": name, "arm": arm.name, **_figures(cells[count, name, arm.name], draws)}
        for name in names
        for arm in settings.arms
        if (count, name, arm.name) in cells
    ]
    others = [arm.name for arm in settings.arms if arm.name != settings.reference]
    compared = [_compared(cells, draws, count, names, arm, settings.reference) for arm in others]
    against = [arm.name for arm in settings.arms if arm.name not in (settings.ours, settings.reference)]
    return {
        "labelled_groups": count,
        "rows": rows,
        "against_reference": compared,
        "ours_against": [_compared(cells, draws, count, names, settings.ours, arm) for arm in against],
        "bars": [_bar(compared, settings.ours, name, share, len(names)) for name, share in BARS],
    }


def _figures(cell: Cell, draws: PatientDraws) -> dict[str, Any]:
    patients, seeds = len(set(cell.groups)), list(cell.seeds)
    empty = np.isnan(cell.values["foreground_dice"]).sum(axis=1)
    measured: dict[str, Any] = {
        "cases": len(cell.groups),
        "patients": patients,
        "seeds": seeds,
        "empty_cases": {str(seed): int(count) for seed, count in zip(seeds, empty, strict=True)},
    }
    for name in FIGURES:
        by_seed, bounds = _of_all(cell, name), (0.0, np.inf if name in DISTANCES else 1.0)
        rounds = figure(cell, name, draws.weights(cell.groups))
        measured[name] = {
            "value": _mean(by_seed),
            "by_seed": {str(seed): float(value) for seed, value in zip(cell.seeds, by_seed, strict=True)},
            "interval": interval_over_patients_and_seeds(by_seed, rounds, len(patients_of(cell, name)), bounds),
        }
    return measured | {"unit": cell.unit, "reliability": cell.tables.sum(axis=(0, 1)).tolist()}


def _compared(
    cells: Cells, draws: PatientDraws, count: int, names: Sequence[str], arm: str, reference: str
) -> dict[str, Any]:
    """One arm against another on every dataset that both were measured on, with the seeds that both have."""
    pairs: dict[str, tuple[Cell, Cell]] = {}
    for name in names:
        own, other = cells.get((count, name, arm)), cells.get((count, name, reference))
        seeds = [s for s in own.seeds if s in other.seeds] if own and other else []
        if own and other and seeds:
            pairs[name] = own.of_seeds(seeds), other.of_seeds(seeds)
    by_figure = {name: _differences(pairs, draws, name) for name in FIGURES}
    return {"arm": arm, "reference": reference, "datasets": list(pairs), "figures": by_figure}


def _differences(pairs: Mapping[str, tuple[Cell, Cell]], draws: PatientDraws, name: str) -> dict[str, Any]:
    """By how much the first is ahead (more, of errors less), by dataset and in the mean over datasets."""
    by_dataset: dict[str, dict[str, Any]] = {}
    leads: list[_Lead] = []
    for dataset, (own, other) in pairs.items():
        lead = _lead(*paired(own, other, name), draws, name)
        by_dataset[dataset] = {
            "value": _mean(lead.by_seed),
            "interval": interval_over_patients_and_seeds(
                lead.by_seed, lead.rounds, len(lead.patients), _bounds_of_lead(name)
            ),
            "p": _p_value(own, other, name),
        }
        if lead.seeds:
            leads.append(lead)
    _correct(by_dataset)
    values = [found["value"] for found in by_dataset.values() if not np.isnan(found["value"])]
    return {
        "by_dataset": by_dataset,
        "mean": _mean(np.array(values)),
        "interval": _interval_of_mean(leads, _bounds_of_lead(name)),
        "not_worse": sum(value >= 0 for value in values),
        "compared": len(values),
    }


@dataclass(frozen=True)
class _Lead:
    """By how much one cell is ahead of another.

    Attributes:
        seeds: in which both have the figure.
        by_seed: with all patients ``(S,)``.
        rounds: with drawn ones ``(rounds, S)``.
        patients: on whom it rests.
    """

    seeds: tuple[int, ...]
    by_seed: Floats
    rounds: Floats
    patients: frozenset[str]


def _lead(own: Cell, other: Cell, draws: PatientDraws, name: str) -> _Lead:
    sign, weights = -1.0 if name in SMALLER_IS_BETTER else 1.0, draws.weights(own.groups)
    by_seed = sign * (_of_all(own, name) - _of_all(other, name))
    rounds = sign * (figure(own, name, weights) - figure(other, name, weights))
    has = ~np.isnan(by_seed)
    seeds = tuple(seed for seed, is_there in zip(own.seeds, has, strict=True) if is_there)
    return _Lead(seeds, by_seed[has], rounds[:, has], patients_of(own, name) | patients_of(other, name))


def _of_all(cell: Cell, name: str) -> Floats:
    """A figure with every case once, by seed."""
    found: Floats = figure(cell, name, np.ones((1, len(cell.groups))))[0]
    return found


def _correct(by_dataset: Mapping[str, dict[str, Any]]) -> None:
    tested = [dataset for dataset, found in by_dataset.items() if found["p"] is not None]
    corrected = holm([by_dataset[dataset]["p"] for dataset in tested])
    for dataset, p in zip(tested, corrected, strict=True):
        by_dataset[dataset]["p_corrected"] = p


def _bounds_of_lead(name: str) -> Limits:
    """All figures but distances lie between 0 and 1."""
    return ANYWHERE if name in DISTANCES else (-1.0, 1.0)


def _interval_of_mean(leads: Sequence[_Lead], bounds: Limits) -> list[float] | None:
    """Of the mean lead over the datasets; None where one of them lacks a seed that others have."""
    if len({lead.seeds for lead in leads}) != 1:
        return None
    by_seed = np.mean([lead.by_seed for lead in leads], axis=0)
    rounds = np.mean([lead.rounds for lead in leads], axis=0)
    people = {group for lead in leads for group in lead.patients}
    return interval_over_patients_and_seeds(by_seed, rounds, len(people), bounds)


def _p_value(own: Cell, other: Cell, name: str) -> float | None:
    """Wilcoxon's signed-rank test over patients (means over their cases and over seeds); None where a figure is not
    one of single cases, or patients are too few or all alike."""
    if name not in own.values:
        return None
    own, other = paired(own, other, name)
    difference = case_values(own, name) - case_values(other, name)
    by_case = [_mean(column) for column in difference.T]
    groups = np.asarray(own.groups)
    by_patient = np.array([_mean(np.asarray(by_case)[groups == group]) for group in dict.fromkeys(own.groups)])
    by_patient = by_patient[~np.isnan(by_patient)]
    if len(by_patient) < 2 or not by_patient.any():
        return None
    return float(wilcoxon(by_patient).pvalue)


def _bar(compared: Sequence[Mapping[str, Any]], ours: str, name: str, share: float, datasets: int) -> dict[str, Any]:
    """Whether ours is not worse than the reference on the share of all datasets that was asked for; one on which they
    could not be compared counts for nothing."""
    found = next((one["figures"][name] for one in compared if one["arm"] == ours), None)
    count, of = (found["not_worse"], found["compared"]) if found else (0, 0)
    is_met = bool(of and count >= share * datasets)
    return {"figure": name, "share": share, "not_worse": count, "compared": of, "datasets": datasets, "met": is_met}


def _compute(plan: MultiTaskPlan, design: Design, metrics: Metrics) -> dict[str, Any]:
    """CPU seconds of each arm on its datasets by number of labels, mean over seeds; what arms share counts for each."""
    needs = {run.name: run.needs for run in design.runs}
    found: dict[str, Any] = {}
    for count in plan.settings.labelled_groups:
        for arm in plan.settings.arms:
            spent = []
            for seed in plan.settings.seeds:
                own = {run for name in design.datasets_of(arm) for run in design.runs_of(arm, name, count, seed)}
                # What nnU-Net needs of another arm's run is its figure alone.
                every = own if arm.kind == "nnunet" else own | {need for run in own for need in needs[run]}
                costs = [metrics[run]["training"]["cpu_s"] for run in every if run in metrics]
                if len(costs) == len(every) and None not in costs:
                    spent.append(sum(costs))
            found.setdefault(str(count), {})[arm.name] = _mean(np.array(spent))
    return found


def _peers(plan: MultiTaskPlan, design: Design, metrics: Metrics) -> list[dict[str, Any]]:
    """What each training of nnU-Net was given and did."""
    found = []
    for count in plan.settings.labelled_groups:
        for arm in plan.settings.peers:
            for name in design.datasets_of(arm):
                found += [
                    {"labelled_groups": count, "arm": arm.name, "dataset": name, "seed": seed, "fold": fold}
                    | dict(metrics[run]["training"])
                    for seed in plan.settings.seeds
                    for fold, run in enumerate(design.runs_of(arm, name, count, seed))
                    if run in metrics
                ]
    return found


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)] if len(values) else values
    return float(defined.mean()) if len(defined) else float("nan")
