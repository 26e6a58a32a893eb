"""Linear interpolation of tensors between grids, as `resampling` does it, slab by slab along z."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from MultiTaskSegLib.runtime.image.resampling import interpolation_matrix
from MultiTaskSegLib.runtime.labels.label_rows import LabelRows


def interpolate_plane(values: Tensor, columns: int, rows: LabelRows) -> Tensor:
    """Resample the last two axes of ``(classes, z, Y, X)``.

    Args:
        values: the rows ``rows.given`` of planes.
        columns: of the image.
        rows: which rows are given and wanted.
    """
    shrinks = {2: rows.image_rows / rows.grid_rows, 3: columns / values.shape[3]}
    # The axis that shrinks most goes first: less work for the other.
    for axis in sorted(shrinks, key=lambda a: shrinks[a]):
        if axis == 3 and shrinks[3] != 1:
            values = _along_axis(values, 3, interpolation_matrix(values.shape[3], columns))
        elif axis == 2 and shrinks[2] != 1:
            matrix = interpolation_matrix(rows.grid_rows, rows.image_rows)
            values = _along_axis(values, 2, csr_matrix(matrix[rows.wanted, rows.given]))
        elif axis == 2:
            first = rows.wanted.start - rows.given.start
            values = values[:, :, first : first + rows.wanted.stop - rows.wanted.start]
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
