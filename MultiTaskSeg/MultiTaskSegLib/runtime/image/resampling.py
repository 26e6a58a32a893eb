"""Separable linear resampling between grids that cover the same extent."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


def interpolation_matrix(n_in: int, n_out: int, window: float | None = None) -> csr_matrix:
    """Weights ``(n_out, n_in)`` of linear interpolation; rows add up to 1.

    Samples are voxel centres and the outer voxel faces coincide: those of all ``n_in`` voxels, or of the ``window``
    voxels in the middle. When the grid gets coarser, the triangle widens to the output spacing, so that nothing
    aliases.
    """
    extent = n_in if window is None else window
    step = extent / n_out
    width = max(step, 1.0)
    centres = (n_in - extent) / 2 + (np.arange(n_out) + 0.5) * step - 0.5
    reach = int(np.ceil(width))
    columns = np.floor(centres)[:, None].astype(np.int64) + np.arange(-reach, reach + 2)[None, :]
    weights = np.clip(1.0 - np.abs(columns - centres[:, None]) / width, 0.0, None)
    rows = np.broadcast_to(np.arange(n_out)[:, None], columns.shape)
    # Beyond the border the border voxel is repeated: its weights are added up by the sparse constructor.
    matrix = csr_matrix((weights.ravel(), (rows.ravel(), np.clip(columns, 0, n_in - 1).ravel())), shape=(n_out, n_in))
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    return csr_matrix(matrix.multiply(1.0 / totals[:, None])).astype(np.float32)


def resample_linear(array: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resample the last ``len(shape)`` axes of a float32 array to ``shape``; earlier axes are kept."""
    first = array.ndim - len(shape)
    for axis in _order(array.shape[first:], shape):
        n_in, n_out = array.shape[first + axis], shape[axis]
        if n_in != n_out:
            array = _along_axis(array, first + axis, interpolation_matrix(n_in, n_out))
    return array


def resampling_bytes(shape_in: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """What `resample_linear` takes at most for float32 ``shape_in``, with its result."""
    sizes, most, held = list(shape_in), 0, 0
    for axis in _order(shape_in, shape):
        if sizes[axis] != shape[axis]:
            copied = prod(sizes)
            sizes[axis] = shape[axis]
            # What goes in, unless it is the array itself; the same in the order of the axis; what comes out.
            most, held = max(most, held + copied + prod(sizes)), prod(sizes)
    return 4 * most


def _order(shape_in: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    """The axes that shrink most go first: less work for the others."""
    return sorted(range(len(shape)), key=lambda axis: shape[axis] / shape_in[axis])


def _along_axis(array: NDArray[np.float32], axis: int, matrix: csr_matrix) -> NDArray[np.float32]:
    moved = np.moveaxis(array, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
    result = (matrix @ flat).reshape((matrix.shape[0], *moved.shape[1:]))
    return np.moveaxis(np.asarray(result, dtype=np.float32), 0, axis)
