"""Label maps between grids that cover the same extent: every new voxel gets the label that covers most of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.sparse import csr_matrix

LABELS_BY = "area"
"""Part of the name of whatever is kept on disk and holds resampled labels: another way makes other labels."""


def resample_labels(labels: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.integer]:
    """Resample a label map of any dimension to ``shape``; the outer voxel faces of both grids coincide.

    Along axes that get coarser, the area of each label within the new voxel counts; along the others the old voxel
    that the new one's centre lies in, or both neighbours alike where it lies on their common face. Of labels that
    cover a voxel alike the one with the larger value wins, background (0) last. Nothing depends on the direction of
    an axis: the mirrored map gives the mirrored result. Areas are whole numbers, so that ties are ties.

    Args:
        labels: not negative; fewer than 2**31 voxels.
        shape: of the new grid.
    """
    if labels.shape == tuple(shape):
        return labels
    matrices = [coverage(n_in, n_out) for n_in, n_out in zip(labels.shape, shape, strict=True)]
    whole = prod(int(matrix[0].sum()) for matrix in matrices)
    best, claimed = (np.zeros(shape, dtype=np.int32) for _ in range(2))
    result = np.zeros(shape, dtype=labels.dtype)
    for value, place in enumerate(find_objects(labels), start=1):
        if place is None:
            continue
        target, parts = _reached(matrices, place)
        area = (labels[place] == value).astype(np.int32)
        for axis, matrix in enumerate(parts):
            area = _along_axis(area, axis, matrix)
        claimed[target] += area
        wins = (area >= best[target]) & (area > 0)
        result[target][wins] = value
        best[target] = np.maximum(best[target], area)
    result[whole - claimed > best] = 0
    return result


def coverage(n_in: int, n_out: int) -> csr_matrix:
    """How much of each new voxel every old one covers along an axis: whole numbers ``(n_out, n_in)``, each row with the
    same sum."""
    if n_out < n_in:
        # In units of which an old voxel is n_out long and a new one n_in; between two cuts there is one of each.
        cuts = np.union1d(np.arange(n_in + 1) * n_out, np.arange(n_out + 1) * n_in)
        new, old, lengths = cuts[:-1] // n_in, cuts[:-1] // n_out, np.diff(cuts)
    else:
        doubled = (2 * np.arange(n_out) + 1) * n_in
        right = doubled // (2 * n_out)
        left = np.where(doubled % (2 * n_out) == 0, right - 1, right)
        new, old = np.repeat(np.arange(n_out), 2), np.stack([left, right], axis=1).ravel()
        lengths = np.ones(len(new), dtype=np.int64)
    return csr_matrix((lengths, (new, old)), shape=(n_out, n_in), dtype=np.int32)


def _reached(matrices: Sequence[csr_matrix], place: tuple[slice, ...]) -> tuple[tuple[slice, ...], list[csr_matrix]]:
    """The new voxels that a box of old ones reaches, and the part of each matrix that joins them."""
    target, parts = [], []
    for matrix, box in zip(matrices, place, strict=True):
        part = matrix[:, box]
        touched = np.flatnonzero(np.diff(part.indptr))
        target.append(slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0))
        parts.append(part[target[-1]])
    return tuple(target), parts


def _along_axis(array: NDArray[np.int32], axis: int, matrix: csr_matrix) -> NDArray[np.int32]:
    moved = np.moveaxis(array, axis, 0)
    result = (matrix @ np.ascontiguousarray(moved).reshape(moved.shape[0], -1)).reshape(
        matrix.shape[0], *moved.shape[1:]
    )
    return np.moveaxis(result, 0, axis)
