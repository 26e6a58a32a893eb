"""Segment prepared held-out cases with the network as it will be shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.tiling import Tile
from trainer.data.case_cache import PreparedCase
from trainer.data.planning import TaskPlan
from trainer.data.stored_array import Voxels
from trainer.metrics.overlap import dice_per_label, mean_defined
from trainer.training.tiled_network import run_tiles


class HeadChannels(Protocol):
    """A task, planned or trained, as far as the network's head is concerned."""

    @property
    def channels(self) -> slice:
        """The task's head channels, background first."""


def task_logits(
    network: SegmentationNetwork,
    voxels: Voxels,
    task: HeadChannels,
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> NDArray[np.float32]:
    """Logits ``(1 + labels, Z, Y, X)`` of one task for prepared voxels ``(Z, Y, X)``."""
    z, y, x = voxels.shape
    result = np.empty((task.channels.stop - task.channels.start, z, y, x), dtype=np.float32)

    def keep(tile: Tile, _: dict[str, Tensor], logits: Tensor) -> None:
        """Copy the core of a tile."""
        inside = (slice(None), *tile.core_in_tile((1, 1, 1), (z, y, x)))
        target = (slice(None), *tile.core_in_volume((1, 1, 1), (z, y, x)))
        result[target] = logits[0][inside].float().cpu().numpy()

    own = np.asarray(voxels, dtype=np.float32)
    run_tiles(network, own, keep, device=device, channels=task.channels, precision=precision)
    return result


def validate(
    network: SegmentationNetwork,
    tasks: Sequence[TaskPlan],
    cases: Sequence[Sequence[PreparedCase]],
    *,
    device: torch.device,
    precision: torch.dtype,
    cases_per_task: int,
) -> dict[str, float]:
    """Mean Dice over labels and cases by task, on the training grid, for the first cases of each task."""
    result: dict[str, float] = {}
    for task, held_out in zip(tasks, cases, strict=True):
        values = tuple(range(1, 1 + len(task.label_names)))
        scores: list[float] = []
        for case in held_out[:cases_per_task]:
            predicted = task_logits(network, case.voxels, task, device=device, precision=precision).argmax(axis=0)
            scores.extend(dice_per_label(predicted, np.asarray(case.labels), values).values())
        result[task.name] = mean_defined(scores)
    return result
