"""Watch a training: Dice of a few held-out cases on the network's grid, which is nowhere published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from trainer.data.case_cache import PreparedCase
from trainer.data.planning import TaskPlan
from trainer.distributed.ranks import ALONE, Ranks
from trainer.measuring.shipped_pass import ShippedPass
from trainer.metrics.overlap import dice, dice_per_label, mean_defined


def validate(
    network: SegmentationNetwork,
    tasks: Sequence[TaskPlan],
    cases: Sequence[Sequence[PreparedCase]],
    *,
    device: torch.device,
    cases_per_task: int,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Mean Dice over labels and cases by task, on the network's grid, for the first cases of each task.

    It shows whether a training goes on well. What a model file says is measured on the images' own grids, see
    `trainer.measuring.held_out_dice`.
    """
    shipped = ShippedPass(network, device)
    items = [(task, case) for task, own in zip(tasks, cases, strict=True) for case in own[:cases_per_task]]
    scores = ranks.each(items, lambda item: _scores(shipped, *item))
    by_task: dict[str, list[float]] = {task.name: [] for task in tasks}
    for (task, _), own in zip(items, scores, strict=True):
        by_task[task.name].extend(own)
    return {name: mean_defined(own) for name, own in by_task.items()}


def _scores(shipped: ShippedPass, task: TaskPlan, case: PreparedCase) -> list[float]:
    """Dice of each label of a case."""
    logits, truth = shipped.logits(case.network_input(), task.channels, task.stem), np.asarray(case.labels)
    if task.are_regions:
        return [dice(found, np.isin(truth, own)) for found, own in zip(logits > 0, task.label_values, strict=True)]
    values = tuple(range(1, 1 + len(task.label_names)))
    return list(dice_per_label(logits.argmax(axis=0), truth, values).values())
