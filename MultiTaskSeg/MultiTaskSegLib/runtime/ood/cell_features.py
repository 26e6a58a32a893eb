"""Local features: what the prepared image looks like in small cells."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_laplace

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple

# Value, three derivatives, two details; mean and spread of each. Feature maps of the network located insertions no
# better than these (measured on mr3d and planar2d), so that the map does not depend on any layer.
# So many for each channel of the image.
FEATURES = 12
# Deviations below this, of values in [0, 1], are noise of nearly constant background.
SMALLEST_DEVIATION = 1e-2
DETAIL_SIGMAS = (1.0, 2.0)
CELL_LEVELS = 4
VOXELS_AT_ONCE = 500_000
# Arrays that are alive at a time, of the size of the image while a channel is made, and of the part that is described.
CHANNEL_COPIES, DESCRIBING_COPIES = 4, 4


def cell_size(architecture: Architecture) -> Triple:
    """Voxels ``(z, y, x)`` of the network's grid per cell: half the stride of the fourth level, or of the last one.

    Steps of less than 4 or of odd length are not halved. Further levels would make the map coarser, which costs more
    than the larger cells gain.
    """
    stride = architecture.level_strides[:CELL_LEVELS][-1]
    z, y, x = (n // 2 if n % 2 == 0 and n >= 4 else n for n in stride)
    return z, y, x


def image_cells(voxels: NDArray[np.float32], cell: Triple) -> NDArray[np.float32]:
    """Features ``(12 C, ...)`` by cell of a prepared image ``(Z, Y, X)``, or of C channels ``(C, Z, Y, X)``; cells at
    its far end may be cut off."""
    described: list[NDArray[np.float32]] = []
    for image in voxels if voxels.ndim == 4 else (voxels,):
        for channel in _channels(image):
            described.extend(describe_cells(channel, cell))
            del channel  # which need not wait for the next one
    return np.stack(described)


def describing_bytes(grid: Triple) -> int:
    """What `image_cells` takes at most for a prepared image ``(Z, Y, X)``, beside it."""
    return CHANNEL_COPIES * 4 * prod(grid) + DESCRIBING_COPIES * 4 * min(VOXELS_AT_ONCE, prod(grid))


def describe_cells(channel: NDArray[np.float32], cell: Triple) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and logarithm of the standard deviation in the cells of an array ``(Z, Y, X)``; the last may be cut off."""
    # Some layers of cells at a time, so that squares and padding do not take the memory of several images.
    thickness = cell[0] * max(1, VOXELS_AT_ONCE // (cell[0] * prod(channel.shape[1:])))
    parts = [_described(channel[first : first + thickness], cell) for first in range(0, len(channel), thickness)]
    means, deviations = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return means, deviations


def _described(channel: NDArray[np.float32], cell: Triple) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    values = torch.from_numpy(np.ascontiguousarray(channel, dtype=np.float32))[None]
    padding = [0, -values.shape[3] % cell[2], 0, -values.shape[2] % cell[1], 0, -values.shape[1] % cell[0]]

    def sums(array: torch.Tensor) -> torch.Tensor:
        """Sum over each cell."""
        return torch.nn.functional.avg_pool3d(torch.nn.functional.pad(array, padding), cell)[0] * prod(cell)

    counts = sums(torch.ones_like(values))
    means = sums(values) / counts
    deviations = (sums(values**2) / counts - means**2).clamp_min(0).sqrt()
    return means.numpy(), (deviations + SMALLEST_DEVIATION).log().numpy()


def rows_of(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features ``(F, Z, Y, X)`` as one row ``(N, F)`` per cell."""
    return np.ascontiguousarray(features.reshape(len(features), -1).T, dtype=np.float32)


def _channels(voxels: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The image, its derivatives and what a blur takes away, one after the other to spare memory."""
    yield voxels
    for axis, size in enumerate(voxels.shape):
        yield np.gradient(voxels, axis=axis) if size > 1 else np.zeros_like(voxels)
    yield gaussian_laplace(voxels, DETAIL_SIGMAS[0])
    yield voxels - gaussian_filter(voxels, DETAIL_SIGMAS[1])
