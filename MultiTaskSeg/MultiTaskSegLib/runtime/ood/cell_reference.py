"""Where is an image foreign? Its cells are compared with a memory of cells of the nearest task's training images.

Roth et al., "Towards total recall in industrial anomaly detection" (PatchCore, CVPR 2022): nearest neighbours in a
memory of local features. Here the features are simple ones of the image itself, distances are taken after whitening,
and their unit depends on how far a remembered cell is from cells of other patients, so that regions where patients
differ much are not mistaken for foreign ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import Prepared, restoring_bytes
from MultiTaskSegLib.runtime.image.resampling import resample_linear, resampling_bytes
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES, describing_bytes, rows_of

NEIGHBOURS = 3
BLOCK_ROWS = 2048
# Cells of empty background lie on top of each other: differences below this share of a unit say nothing.
SMALLEST_RATIO = 0.1
SMOOTHING_CELLS = 0.5
# The map is calibrated down to one in ten thousand cells.
TAIL_SHARES = np.logspace(0.0, -4.0, 41)
PREFIX = "reference.cells."
PARTS = ("mean", "projection", "memory", "units", "quantiles")


@dataclass(frozen=True)
class CellMemory:
    """What cells of one task look like.

    Attributes:
        mean: float32 ``(F,)`` of the cells' features.
        projection: float32 ``(F, D)``, multiplied from the right, after which the spread is white.
        memory: float16 ``(M, D)``: projected cells of training images.
        units: float16 ``(M,)``: of each of them, halfway (in logarithms) between its own distance to cells of other
            groups and the common one.
        quantiles: float32, ascending: scores that the shares `TAIL_SHARES` of cells of held-out images reach.
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]
    memory: NDArray[np.float16]
    units: NDArray[np.float16]
    quantiles: NDArray[np.float32]

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Logarithm of the distance to the nearest known cells, lightly smoothed, ``(Z, Y, X)``.

        Args:
            features: ``(F, Z, Y, X)`` by cell.
        """
        rows = (rows_of(features) - self.mean) @ self.projection
        logs = np.log(nearest_ratios(rows, self.memory, self.units) + np.float32(SMALLEST_RATIO))
        grid = logs.reshape(features.shape[1:])
        sigma = [SMOOTHING_CELLS if n > 1 else 0.0 for n in grid.shape]
        return np.asarray(gaussian_filter(grid, sigma), dtype=np.float32)

    def rarity(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """-log10 of the share of known cells that look at least as foreign, 0 to 4, ``(Z, Y, X)``."""
        decades = np.interp(self.scores(features), self.quantiles, -np.log10(TAIL_SHARES))
        return np.asarray(decades, dtype=np.float32)


def nearest_ratios(
    rows: NDArray[np.floating], memory: NDArray[np.floating], units: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Mean distance of each row ``(N, D)`` to its three nearest remembered cells, in their mean unit, ``(N,)``."""
    known, scale = torch.from_numpy(memory.astype(np.float32)), torch.from_numpy(units.astype(np.float32))
    squares = (known**2).sum(dim=1)[None]
    blocks = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)).split(BLOCK_ROWS)
    # Taken once for all blocks: aligned blocks of tens of megabytes that come and go between small ones that stay are
    # not always used again by glibc, and hundreds of them have taken gigabytes.
    squared = torch.empty((max((len(block) for block in blocks), default=0), len(known)))
    ratios = np.empty(len(rows), dtype=np.float32)
    for number, block in enumerate(blocks):
        here = torch.addmm(squares, block, known.T, alpha=-2, out=squared[: len(block)])
        nearest = here.add_((block**2).sum(dim=1)[:, None]).topk(min(NEIGHBOURS, len(known)), dim=1, largest=False)
        distances = nearest.values.clamp_min(0).sqrt().mean(dim=1)
        first = number * BLOCK_ROWS
        ratios[first : first + len(block)] = (distances / scale[nearest.indices].mean(dim=1)).numpy()
    return ratios


def locating_bytes(frame: InputFrame, remembered: int, grid_cells: int, channels: int = 1) -> int:
    """What the map of foreign places takes at most, beside the prepared image.

    Args:
        frame: of the prepared image.
        remembered: cells in the memory of a task.
        grid_cells: cells of the image.
        channels: of the image.
    """
    # Differences of a block of cells, and what finding the smallest takes; the memory in single precision.
    comparing = 4 * remembered * (2 * min(BLOCK_ROWS, grid_cells) + 2 * channels * FEATURES)
    # Cells written out along two axes and along all; on the image's grid; and laid in order, which is another copy.
    written = 4 * prod(frame.grid_shape)
    resampling = written + max(written, resampling_bytes(frame.grid_shape, frame.window.shape))
    restoring = written + 4 * 2 * prod(frame.window.shape) + restoring_bytes(frame, 4)
    return max(describing_bytes(frame.grid_shape), comparing, resampling, restoring)


def cell_tensors(memories: Sequence[CellMemory]) -> dict[str, Tensor]:
    """The memories, one per task, as tensors ``reference.cells.TASK.PART`` of a model file."""
    return {
        f"{PREFIX}{task}.{part}": torch.from_numpy(np.ascontiguousarray(getattr(memory, part)))
        for task, memory in enumerate(memories)
        for part in PARTS
    }


def read_memories(tensors: Mapping[str, Tensor], tasks: int) -> tuple[CellMemory, ...]:
    """The memories of ``tasks`` tasks from the tensors of a model file; none where it has none."""
    if not any(name.startswith(PREFIX) for name in tensors):
        return ()
    return tuple(CellMemory(*(tensors[f"{PREFIX}{task}.{part}"].numpy() for part in PARTS)) for task in range(tasks))


def on_image_grid(cells: NDArray[np.float32], cell: tuple[int, int, int], prepared: Prepared) -> NDArray[np.float32]:
    """Values by cell ``(Z, Y, X)`` on the grid of the image that was prepared.

    Args:
        cells: one value per cell of the network's grid.
        cell: voxels of that grid per cell ``(z, y, x)``.
        prepared: the network input's way back.
    """
    voxels = cells
    for axis, (size, count) in enumerate(zip(prepared.grid_shape, cell, strict=True)):
        voxels = np.repeat(voxels, count, axis=axis)[(slice(None),) * axis + (slice(size),)]
    return np.asarray(prepared.restore(resample_linear(voxels, prepared.canonical_shape)), dtype=np.float32)
