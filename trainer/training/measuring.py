"""Measuring a trained network on the cases of its training: how many, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.ndimage import label

from MultiTaskSegLib.runtime.labels.connected_component import FULL_CONNECTIVITY
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from trainer.calibration.scaling import Scaling
from trainer.calibration.task_calibration import TaskCalibration
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.planning import TaskPlan
from trainer.data.spread import spread_over_groups
from trainer.distributed.ranks import ALONE, Ranks
from trainer.measuring.measurer import Measurer
from trainer.measuring.own_grid_case import read_own_grid_case
from trainer.measuring.pace import measured_pace
from trainer.measuring.plan import Chosen, MeasuringPlan
from trainer.measuring.seen import Keeper, Seen
from trainer.measuring.sides import Sides
from trainer.reference.cell_fitting import CellSamples, new_samples
from trainer.report.run_progress import RunProgress
from trainer.training.planned_manifest import planned_signature, planned_task
from trainer.training.training import PreparedData

SINGLE_COMPONENT_SHARE = 0.95


@dataclass(frozen=True)
class TaskFigures:
    """What held-out cases say about one task.

    Attributes:
        scaling: the temperatures that ship.
        calibration: errors near the structures.
        single_component: whether only the most probable piece of a result is kept.
    """

    scaling: Scaling
    calibration: dict[str, float]
    single_component: bool


@dataclass
class Finding:
    """What measuring leaves: figures by task, images and cells for the check."""

    figures: list[TaskFigures]
    images: list[ReferenceImage]
    cells: list[CellSamples]


def sides_of(data: PreparedData) -> list[Sides]:
    """By task, what measuring can look at."""
    unlabelled = data.unlabelled or tuple([] for _ in data.training)
    return [
        Sides([*known, *more], held_out, bool(task.label_names))
        for task, known, more, held_out in zip(data.plan.tasks, data.training, unlabelled, data.held_out, strict=True)
    ]


def plan_measuring(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> MeasuringPlan:
    """Try how fast measuring is, and plan it.

    Args:
        data: plan and cases.
        network: of the plan's architecture, on ``device``; its weights do not matter.
        config: settings.
        device: where to compute.
        ranks: the processes that will measure; the first one tries.
    """
    measurer = Measurer(network, planned_signature(data.plan, config), device)
    # Large images take most of the time.
    pairs = [(task, held_out[0]) for task, held_out in zip(data.plan.tasks, data.held_out, strict=True)]
    task, case = max(pairs, key=lambda pair: (bool(pair[0].label_names), pair[1].voxels.size))
    info, labels = planned_task(task), task.dataset.labels
    pace = ranks.agreed(lambda: measured_pace(measurer, info, labels, case, len(pairs), stem=task.stem))
    pace = pace.of_several(ranks.world_size)
    return MeasuringPlan(sides_of(data), pace, config.measuring_share, config.validation_cases)


def measure(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    device: torch.device,
    chosen: Sequence[Chosen],
    plan: MeasuringPlan,
    progress: RunProgress,
    ranks: Ranks = ALONE,
) -> Finding:
    """Look at the chosen cases of every task, the known ones first, each of them once.

    Args:
        data: plan and cases.
        network: with the weights that ship, on ``device``.
        config: settings.
        device: where to compute.
        chosen: cases by task, from the plan.
        plan: what was expected of them.
        progress: told after each case.
        ranks: the processes that share the cases out; what is found is with the first one alone.
    """
    measurer = Measurer(network, planned_signature(data.plan, config), device)
    found = Finding([], [], new_samples(len(chosen), config.seed))
    for index, (task, own, trained) in enumerate(zip(data.plan.tasks, chosen, data.training, strict=True)):
        info, calibration = planned_task(task), TaskCalibration(config.seed)
        keeper = Keeper(found.cells[index], calibration)
        known_s, held_out_s = plan.case_seconds[index]
        # A labelled case comes once more when its temperatures are known.
        spent_s = (known_s, held_out_s / 2 if info.labels else held_out_s)
        for held_out, cases, words in ((False, own.known, "looking at"), (True, own.held_out, "measuring")):
            see = partial(_seen, measurer, task, info, held_out)
            for number, kept in enumerate(ranks.in_order(cases, see, keeper.draw, keeper.generators), start=1):
                if ranks.rank == 0:
                    keeper.keep(kept)
                    found.images.append(ReferenceImage(index, kept.group, held_out, kept.observed))
                progress.did(spent_s[held_out], f"{words} {task.name}, {number} of {len(cases)}")
        few = spread_over_groups(trained, [case.case.group for case in trained], len(own.known)) if info.labels else []
        found.figures.append(ranks.agreed(partial(_figures, calibration, task, few)))
    return found


def _seen(measurer: Measurer, task: TaskPlan, info: TaskInfo, held_out: bool, case: PreparedCase) -> Seen:
    """Of a known case, and of one without labels, only what the check remembers."""
    if not held_out or not info.labels:
        return measurer.look(case, held_out, task.stem)
    return measurer.measure(read_own_grid_case(case.case, info, task.dataset.labels), task.channels, task.stem)


def _figures(calibration: TaskCalibration, task: TaskPlan, trained: Sequence[PreparedCase]) -> TaskFigures:
    """Of a task with labels, by its held-out cases and by some that were trained on; others have none."""
    if not task.label_names:
        return TaskFigures(Scaling(), {}, False)
    is_single = not task.are_regions and has_single_component(trained)
    return TaskFigures(calibration.scaling(), calibration.figures(), is_single)


def has_single_component(cases: Sequence[PreparedCase]) -> bool:
    """Whether the labels together are one connected piece, or nothing, in at least 95 % of the cases."""
    pieces = [label(np.asarray(case.labels) > 0, FULL_CONNECTIVITY)[1] for case in cases]
    return float(np.mean([count <= 1 for count in pieces])) >= SINGLE_COMPONENT_SHARE
