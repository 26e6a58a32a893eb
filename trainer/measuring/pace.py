"""How long measuring takes on this machine, from a trial on part of a case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.ood.cell_reference import nearest_ratios
from trainer.calibration.scaling import FOLDS
from trainer.calibration.task_calibration import TaskCalibration
from trainer.data.case_cache import PreparedCase
from trainer.data.labelled_case import truth_of
from trainer.measuring.measurer import Measurer
from trainer.measuring.own_grid_case import OwnGridCase, read_own_grid_case
from trainer.measuring.seen import Keeper
from trainer.reference.cell_fitting import cells_per_memory, new_samples

# A second or two on a processor.
TRIAL_VOXELS = 300_000
WARM_UP_VOXELS = 10_000
READINGS = 2
"""Of every held-out case: once for its temperatures and once for its labels."""


@dataclass(frozen=True)
class Pace:
    """Seconds per voxel of the network's grid where nothing else is said.

    Attributes:
        held_out_s: of a held-out case, which is read and passed twice: for signature, cells and temperatures, and for
            the labels that these give.
        known_s: of a case of which only signature and cells are taken.
        fit_case_s: per held-out case, not per voxel: fitting temperatures on all of them and on all but a fold.
        map_s: of a held-out image with which the map of foreign places is calibrated.
    """

    held_out_s: float
    known_s: float
    fit_case_s: float
    map_s: float

    def of_several(self, processes: int) -> Pace:
        """Of so many processes that share the cases out; what is fitted on all of them is fitted by one."""
        return replace(self, held_out_s=self.held_out_s / processes, known_s=self.known_s / processes)


def measured_pace(
    measurer: Measurer,
    task: TaskInfo,
    labels: Mapping[int, str],
    case: PreparedCase,
    tasks: int,
    clock: Callable[[], float] = time.perf_counter,
    stem: int = 0,
) -> Pace:
    """Measure on the middle of a case.

    Args:
        measurer: whose pace.
        task: of the case.
        labels: the dataset's label names by value.
        case: a held-out one.
        tasks: how many the network has.
        clock: seconds from any origin.
        stem: of the network that takes the case.
    """
    # The first pass of all takes longer.
    measurer.look(middle_of(case, WARM_UP_VOXELS), held_out=False, stem=stem)
    reading_s = 0.0
    if task.labels:
        started_s = clock()
        read_own_grid_case(case.case, task, labels)
        reading_s = clock() - started_s
    middle = middle_of(case, TRIAL_VOXELS)
    stored = np.asarray(middle.labels)
    truth = truth_of(stored, task, labels) if task.are_regions else stored
    pace = _trial(measurer, task, middle, truth, tasks, clock, stem)
    return replace(pace, held_out_s=pace.held_out_s + READINGS * reading_s / case.voxels.size)


def middle_of(case: PreparedCase, voxels: int) -> PreparedCase:
    """The middle of a case, at most so many voxels; the longest side is halved until it fits."""
    sizes = list(case.voxels.shape)
    while np.prod(sizes) > voxels and max(sizes) > 1:
        longest = int(np.argmax(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    z, y, x = (slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(case.voxels.shape, sizes, strict=True))
    further = tuple(channel[z, y, x] for channel in case.further)
    return replace(case, voxels=case.voxels[z, y, x], labels=case.labels[z, y, x], further=further)


def _trial(
    measurer: Measurer,
    task: TaskInfo,
    case: PreparedCase,
    truth: NDArray[np.uint8],
    tasks: int,
    clock: Callable[[], float],
    stem: int,
) -> Pace:
    keeper = Keeper(new_samples(1)[0], TaskCalibration(0))
    cells, calibration = keeper.cells, keeper.calibration
    part = OwnGridCase(case.case.group, case.network_input(), truth)
    times = [clock()]
    keeper.keep(keeper.draw(measurer.look(case, held_out=False, stem=stem)))
    times.append(clock())
    if task.labels:
        keeper.keep(keeper.draw(measurer.measure(part, task.channels, stem)))
        measurer.label(part, task, stem)
    times.append(clock())
    if task.labels:
        calibration.scaling()
    times.append(clock())
    features = cells.rows[0].shape[1]
    memory = np.random.default_rng(0).random((cells_per_memory(tasks, features), features), dtype=np.float32)
    nearest_ratios(cells.rows[0], memory, np.ones(len(memory), dtype=np.float32))
    times.append(clock())
    looked_s, measured_s, fitted_s, compared_s = np.diff(times).tolist()
    return Pace(
        measured_s / case.voxels.size,
        looked_s / case.voxels.size,
        (FOLDS + 1) * fitted_s,
        compared_s / len(cells.rows[0]) / prod(measurer.cell),
    )
