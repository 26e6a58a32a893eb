"""Logits of one task for a prepared image, by modules: hooks on them, and autocast, take effect."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.tiling import Tile
from trainer.data.stored_array import Voxels
from trainer.tiled.tiled_network import run_tiles


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
