"""Structures that are one connected piece: keep the piece that the network believes in most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

FULL_CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)


def most_probable_piece(mask: NDArray[np.bool_], foreground: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The connected piece of ``mask`` with the largest sum of foreground probability beyond one half.

    The sum, not the size: a large faint piece elsewhere must not beat a small certain one.

    Args:
        mask: bool ``(Z, Y, X)``.
        foreground: probability of any label at the voxels of ``mask``, ``(N,)`` in [0, 1].

    Returns:
        bool ``(Z, Y, X)``; empty when ``mask`` is.
    """
    pieces, count = label(mask, FULL_CONNECTIVITY)
    if count <= 1:
        return mask
    mass, begun = np.zeros(count + 1), 0
    # Counting takes copies of 8 bytes per voxel: slice by slice.
    for plane, inside in zip(pieces, mask, strict=True):
        numbers = plane[inside]
        beyond_half = np.maximum(foreground[begun : begun + len(numbers)] - 0.5, 0.0)
        mass += np.bincount(numbers, beyond_half, minlength=count + 1)
        begun += len(numbers)
    chosen: NDArray[np.bool_] = pieces == 1 + int(np.argmax(mass[1:]))
    return chosen
