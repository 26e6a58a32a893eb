"""One arm on one dataset with one number of labels, all seeds: the cases, and figures of drawn patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.overlap import mean_defined
from trainer.multi_task.foreign import auroc
from trainer.multi_task.measurement import FOREGROUND, REGIONS
from trainer.transfer.claim import number
from trainer.uncertainty.reliability import expected_calibration_error, maximum_calibration_error

Floats = NDArray[np.float64]
LESION_COUNTS = ("lesions", "detected", "candidates", "true_candidates")


@dataclass(frozen=True)
class Cell:
    """S seeds and C test cases, the same for every arm.

    Attributes:
        seeds: that were measured.
        groups: patient of each case.
        values: figures of a case ``(S, C)`` by name, distances of its L labels ``(S, C, L)``; NaN where there is
            nothing to measure.
        tables: ``(S, C, regions, 3, bins)``, see `reliability_table`.
        voxels: of each image ``(S, C)``, on the network's grid.
        counts: ``(S, C, 4)``, `LESION_COUNTS`; zeros where no lesions are counted.
        unit: of distances.
    """

    seeds: tuple[int, ...]
    groups: tuple[str, ...]
    values: Mapping[str, Floats]
    tables: Floats
    voxels: Floats
    counts: Floats
    unit: str

    def joined(self, other: Cell) -> Cell:
        """With the cases of another one of the same seeds: of another fold."""
        values = {name: np.concatenate([array, other.values[name]], axis=1) for name, array in self.values.items()}
        return replace(
            self,
            groups=(*self.groups, *other.groups),
            values=values,
            tables=np.concatenate([self.tables, other.tables], axis=1),
            voxels=np.concatenate([self.voxels, other.voxels], axis=1),
            counts=np.concatenate([self.counts, other.counts], axis=1),
        )

    def of_seeds(self, seeds: Sequence[int]) -> Cell:
        """The same with some of the seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        values = {name: array[rows] for name, array in self.values.items()}
        parts = (self.tables[rows], self.voxels[rows], self.counts[rows])
        return Cell(tuple(seeds), self.groups, values, *parts, self.unit)


def make_cell(found: Mapping[int, Mapping[str, Any]], name: str) -> Cell:
    """Gather what the runs of an arm say about a dataset.

    Args:
        found: metrics of `train_network` by seed; at least one.
        name: of the dataset.
    """
    cases = {seed: metrics["datasets"][name] for seed, metrics in found.items()}
    first = next(iter(cases.values()))
    values = {
        key: np.array([[pick(case, found[seed]["foreign"]) for case in of_seed] for seed, of_seed in cases.items()])
        for key, pick in PER_CASE.items()
    }
    tables = np.array([[case["reliability"] for case in of_seed] for of_seed in cases.values()], dtype=np.float64)
    counts = [
        [[case.get("lesions", {}).get(key, 0) for key in LESION_COUNTS] for case in of_seed]
        for of_seed in cases.values()
    ]
    return Cell(
        tuple(found),
        tuple(case["group"] for case in first),
        values,
        tables,
        np.array([[case["voxels"] for case in of_seed] for of_seed in cases.values()], dtype=np.float64),
        np.array(counts, dtype=np.float64),
        str(first[0]["unit"]),
    )


def _labels(case: Mapping[str, Any], key: str) -> list[float]:
    """A figure of every label; NaN of a network that tells foreground alone, unless the dataset has one label."""
    own = [number(figures[key]) for name, figures in case["structures"].items() if name != FOREGROUND]
    return own if len(own) == case["labels"] else [float("nan")] * case["labels"]


PER_CASE: dict[str, Callable[[Mapping[str, Any], Sequence[float]], float | list[float]]] = {
    "dice": lambda case, _: mean_defined(_labels(case, "dice")),
    "foreground_dice": lambda case, _: number(case["structures"][FOREGROUND]["dice"]),
    "hausdorff95": lambda case, _: _labels(case, "hausdorff95"),
    "assd": lambda case, _: _labels(case, "assd"),
    "surface_dice": lambda case, _: mean_defined(_labels(case, "surface_dice")),
    "auroc": lambda case, foreign: auroc([case["score"]], foreign),
}
DISTANCES = ("hausdorff95", "assd")


def case_values(cell: Cell, name: str) -> Floats:
    """A figure of single cases ``(S, C)``; distances are means over the labels that truth and result have."""
    values = cell.values[name]
    if values.ndim == 2:
        return values
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


def paired(own: Cell, other: Cell, name: str) -> tuple[Cell, Cell]:
    """Both with the distances that both have: a network that misses what is hard is not ahead for that."""
    if name not in DISTANCES:
        return own, other
    lacks = np.isnan(own.values[name]) | np.isnan(other.values[name])
    first, second = (
        replace(cell, values={**cell.values, name: np.where(lacks, np.nan, cell.values[name])}) for cell in (own, other)
    )
    return first, second


def figure(cell: Cell, name: str, weights: Floats) -> Floats:
    """A figure of drawn patients by seed, ``(rounds, S)``; NaN where nothing was measured.

    Args:
        cell: what was measured.
        name: one of `FIGURES`.
        weights: how often each case counts, ``(rounds, C)``.
    """
    if name in PER_CASE:
        values = case_values(cell, name)
        defined = ~np.isnan(values)
        return _ratio(weights @ np.where(defined, values, 0.0).T, weights @ defined.astype(np.float64).T)
    if name in LESION_RATES:
        lesions, detected, candidates, right = np.moveaxis(np.einsum("rc,sck->rsk", weights, cell.counts), -1, 0)
        return LESION_RATES[name](lesions, detected, candidates, right)
    region, error = CALIBRATION[name]
    tables = np.einsum("rc,sckb->rskb", weights, cell.tables[:, :, REGIONS.index(region)])
    # Of a whole image every voxel counts, as published, also those that the network is certain of, in no bin.
    return error(tables, np.einsum("rc,sc->rs", weights, cell.voxels) if region == "whole" else None)


def patients_of(cell: Cell, name: str) -> frozenset[str]:
    """On whom a figure rests: those in one of whose cases, taken alone, a seed has it."""
    alone = figure(cell, name, np.eye(len(cell.groups)))
    return frozenset(cell.groups[number] for number in np.flatnonzero(~np.isnan(alone).all(axis=1)))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan), dtype=np.float64)


def _f1(lesions: Floats, detected: Floats, candidates: Floats, right: Floats) -> Floats:
    """Harmonic mean of sensitivity and precision; 0 where nothing right was marked, NaN without lesions."""
    sensitivity, precision = _ratio(detected, lesions), np.nan_to_num(_ratio(right, candidates))
    total = sensitivity + precision
    return np.where(np.isnan(total), np.nan, np.nan_to_num(_ratio(2 * sensitivity * precision, total)))


LESION_RATES: dict[str, Callable[[Floats, Floats, Floats, Floats], Floats]] = {
    "lesion_sensitivity": lambda lesions, detected, candidates, right: _ratio(detected, lesions),
    "lesion_f1": _f1,
}
CALIBRATION: dict[str, tuple[str, Callable[[Floats, Floats | None], Floats]]] = {
    "ece": ("whole", expected_calibration_error),
    "ring_ece": ("ring", expected_calibration_error),
    "predicted_ring_ece": ("predicted_ring", expected_calibration_error),
    "ring_mce": ("ring", lambda tables, _: maximum_calibration_error(tables)),
}
FIGURES = (*PER_CASE, *CALIBRATION, *LESION_RATES)
SMALLER_IS_BETTER = frozenset({*DISTANCES, *CALIBRATION})
