"""Fitting the memories of cells: what is remembered on training images, what is rare on held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES, rows_of
from MultiTaskSegLib.runtime.ood.cell_reference import TAIL_SHARES, CellMemory, nearest_ratios
from trainer.reference.spectral_reference import SMALLEST_SHARE, SMALLEST_SPREAD

MEMORY_BYTES = 1_000_000
"""Of all tasks' memories together, as float16."""
MOST_CELLS = 4_000
CELLS_PER_IMAGE = 1_000
FITTED_CELLS = 60_000
HELD_OUT_IMAGES = 12
"""Of each task, whose cells calibrate the map."""
LEAST_UNIT_QUANTILE = 0.25
COINCIDING = 1e-2
"""Nearer cells, in units of the spread, are the same up to rounding."""


@dataclass
class CellSamples:
    """Cells of one task's images, gathered one image after the other.

    Attributes:
        rng: chooses the cells.
        rows: training cells ``(n, F)`` by image.
        groups: group of each of these images.
        held_out: features ``(F, Z, Y, X)`` of whole held-out images.
    """

    rng: np.random.Generator
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    held_out: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, features: NDArray[np.float32], group: str, held_out: bool) -> None:
        """Take an image's features ``(F, Z, Y, X)``; of training images only some cells are kept."""
        self.keep(self.drawn(features, held_out), group, held_out)

    def drawn(self, features: NDArray[np.float32], held_out: bool) -> NDArray[np.float32]:
        """What `keep` wants of an image's features: all of them, of training images rows ``(n, F)`` of some cells."""
        if held_out:
            return features
        rows = rows_of(features)
        return rows[self.rng.permutation(len(rows))[:CELLS_PER_IMAGE]]

    def keep(self, drawn: NDArray[np.float32], group: str, held_out: bool) -> None:
        """Take what was drawn from an image."""
        if not held_out:
            self.rows.append(drawn)
            self.groups.append(group)
        elif len(self.held_out) < HELD_OUT_IMAGES:
            self.held_out.append(drawn)


def new_samples(tasks: int, seed: int = 0) -> list[CellSamples]:
    """One empty collection per task, each with its own generator."""
    return [CellSamples(np.random.default_rng([seed, task])) for task in range(tasks)]


def fit_memories(samples: Sequence[CellSamples]) -> tuple[CellMemory, ...]:
    """One memory per task.

    Raises:
        ModelError: a task has fewer than two training groups or no held-out image.
    """
    return tuple(fit_memory(sample, cells_per_memory(len(samples), _features(sample))) for sample in samples)


def _features(sample: CellSamples) -> int:
    return sample.rows[0].shape[1] if sample.rows else FEATURES


def cells_per_memory(tasks: int, features: int = FEATURES) -> int:
    """How many cells of so many features each of so many tasks can remember."""
    return min(MEMORY_BYTES // (tasks * (features + 1) * np.dtype(np.float16).itemsize), MOST_CELLS)


def fit_memory(samples: CellSamples, cells: int) -> CellMemory:
    """Whiten, remember ``cells`` random training cells, and learn what is rare from held-out images.

    The unit of a remembered cell is the geometric mean of its distance to the nearest cells of other groups, at least
    the lower quartile of all such distances (cells of empty background coincide), and the median of these distances.

    Raises:
        ModelError: there are fewer than two training groups or no held-out image.
    """
    if len(set(samples.groups)) < 2 or not samples.held_out:
        raise ModelError("too few images for a memory of cells", remedy="Give images of more patients")
    rows = np.concatenate(samples.rows)
    names = np.repeat(np.unique(samples.groups, return_inverse=True)[1], [len(r) for r in samples.rows])
    order = samples.rng.permutation(len(rows))[:FITTED_CELLS]
    rows, names = rows[order], names[order]
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    projection = _whitening(rows - mean)
    memory = ((rows[:cells] - mean) @ projection).astype(np.float16)
    units = _units(memory.astype(np.float32), names[:cells])
    draft = CellMemory(mean, projection, memory, units, np.zeros(len(TAIL_SHARES), dtype=np.float32))
    scores = [draft.scores(features).ravel() for features in samples.held_out]
    weights = np.concatenate([np.full(len(s), 1.0 / len(s)) for s in scores])
    quantiles = _weighted_quantiles(np.concatenate(scores), weights, 1.0 - TAIL_SHARES)
    return CellMemory(mean, projection, memory, units, quantiles.astype(np.float32))


def _whitening(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """Projection ``(F, F)`` after which the spread is one in all directions.

    Features that never vary, such as slopes across a single slice, are left out: rounding would be blown up.
    """
    deviations = centred.std(axis=0, dtype=np.float64)
    spread = np.where(deviations > SMALLEST_SPREAD, deviations, np.inf)
    covariance = LedoitWolf(assume_centered=True).fit(centred / spread).covariance_
    values, directions = np.linalg.eigh(covariance)
    projection = directions * np.maximum(values, SMALLEST_SHARE) ** -0.5 / spread[:, None]
    return np.ascontiguousarray(projection, dtype=np.float32)


def _units(memory: NDArray[np.float32], groups: NDArray[np.integer]) -> NDArray[np.float16]:
    units = np.empty(len(memory), dtype=np.float32)
    for group in np.unique(groups):
        own = groups == group
        if own.all():
            raise ModelError("a memory of cells holds one group only", remedy="Give images of more patients")
        units[own] = nearest_ratios(memory[own], memory[~own], np.ones(int((~own).sum())))
    positive = units[units > COINCIDING]
    least = float(np.quantile(positive, LEAST_UNIT_QUANTILE)) if positive.size else 1.0
    own = np.maximum(units, least)
    return np.asarray(np.sqrt(own * np.median(own)), dtype=np.float16)


def _weighted_quantiles(
    values: NDArray[np.floating], weights: NDArray[np.floating], shares: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Values below which the ``shares`` of the weight lie."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    index = np.searchsorted(below / below[-1], shares)
    return np.asarray(values[order][np.minimum(index, len(values) - 1)], dtype=np.float64)
