"""Linear interpolation of tensors between grids, as `resampling` does it, slab by slab along z."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from MultiTaskSegLib.runtime.image.resampling import interpolation_matrix


def interpolate_plane(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Resample the last two axes of ``(classes, z, Y, X)`` to ``shape``."""
    # The axis that shrinks most goes first: less work for the other.
    for axis in sorted((2, 3), key=lambda a: shape[a - 2] / values.shape[a]):
        n_in, n_out = values.shape[axis], shape[axis - 2]
        if n_in != n_out:
            values = _along_axis(values, axis, interpolation_matrix(n_in, n_out))
    return values


def _along_axis(values: Tensor, axis: int, matrix: csr_matrix) -> Tensor:
    """Sum of the weighted neighbours: two of them unless the grid gets coarser."""
    total: Tensor | None = None
    for index, weight in neighbours(matrix):
        shape = [1] * values.dim()
        shape[axis] = -1
        part = values.index_select(axis, index.to(values.device)).mul_(weight.reshape(shape).to(values.device))
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def neighbours(matrix: csr_matrix) -> list[tuple[Tensor, Tensor]]:
    """The n-th neighbour of every row and its weight, for n = 0, 1 ...; rows with fewer have weight 0."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    counts = np.diff(matrix.indptr)
    pairs = []
    for number in range(int(counts.max())):
        position = matrix.indptr[:-1] + np.minimum(number, counts - 1)
        weight = np.where(number < counts, matrix.data[position], 0.0).astype(np.float32)
        pairs.append((torch.from_numpy(matrix.indices[position].astype(np.int64)), torch.from_numpy(weight)))
    return pairs


class SliceInterpolation:
    """Resamples along z what arrives slab by slab.

    Args:
        n_in, n_out: slices of the two grids.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        self._same = n_in == n_out
        matrix = interpolation_matrix(n_in, n_out)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        matrix.sort_indices()
        self._matrix = matrix
        self._first = matrix.indices[matrix.indptr[:-1]]
        self._last = matrix.indices[matrix.indptr[1:] - 1]
        self._window: Tensor | None = None
        self._start = self._done = 0

    def push(self, values: Tensor) -> Tensor:
        """Take the next slices ``(classes, z, Y, X)``; return the slices of the other grid that they complete."""
        if self._same:
            return values
        window = values if self._window is None else torch.cat((self._window, values), dim=1)
        stop = int(np.searchsorted(self._last, self._start + window.shape[1]))
        rows = slice(self._done, stop)
        needed = int(self._first[stop]) if stop < len(self._first) else self._start + window.shape[1]
        weights = self._matrix[rows, self._start : self._start + window.shape[1]].toarray()
        result = torch.einsum("oz,czyx->coyx", torch.from_numpy(weights).to(window), window)
        self._done = stop
        self._window = window[:, needed - self._start :]
        self._start = needed
        return result
