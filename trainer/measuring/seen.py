"""What is seen in a case, all of it; and what is kept: some cells and voxels, drawn one case after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.ood.signature import Observed
from trainer.calibration.task_calibration import DrawnVoxels, HeldOutCase, TaskCalibration
from trainer.reference.cell_fitting import CellSamples


@dataclass(frozen=True)
class Seen:
    """A case after its pass through the network.

    Attributes:
        group: patient.
        held_out: whether it was not trained on.
        observed: parts of its signature.
        features: of its cells, ``(F, Z, Y, X)``.
        answer: of the network, where the case's task has labels that are to be measured.
    """

    group: str
    held_out: bool
    observed: Observed
    features: NDArray[np.float32]
    answer: HeldOutCase | None = None


@dataclass(frozen=True)
class Kept:
    """What is kept of it; a small part."""

    group: str
    held_out: bool
    observed: Observed
    cells: NDArray[np.float32]
    voxels: Sequence[DrawnVoxels]


@dataclass(frozen=True)
class Keeper:
    """Cells and voxels of a task, which chance chooses from what is seen.

    Attributes:
        cells: of the task.
        calibration: of the task.
    """

    cells: CellSamples
    calibration: TaskCalibration

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """Which `draw` uses."""
        return self.cells.rng, *self.calibration.generators

    def draw(self, seen: Seen) -> Kept:
        """Choose what is kept of a case."""
        voxels = () if seen.answer is None else self.calibration.drawn(seen.answer)
        cells = self.cells.drawn(seen.features, seen.held_out)
        return Kept(seen.group, seen.held_out, seen.observed, cells, voxels)

    def keep(self, kept: Kept) -> None:
        """Take what was chosen."""
        self.cells.keep(kept.cells, kept.group, kept.held_out)
        self.calibration.keep(kept.voxels)
