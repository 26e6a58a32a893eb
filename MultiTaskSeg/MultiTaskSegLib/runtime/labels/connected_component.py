"""Structures that are one connected piece: keep the piece that the network believes in most."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

FULL_CONNECTIVITY = np.ones((3, 3, 3), dtype=bool)


def connected_pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """The connected pieces of a mask ``(Z, Y, X)``, numbered from 1, voxels touching at a corner being connected.

    Returns:
        int32 ``(Z, Y, X)``, 0 outside, and how many pieces there are.
    """
    pieces, count = label(mask, FULL_CONNECTIVITY)
    return pieces, int(count)


def most_probable_piece(parts: Iterable[tuple[NDArray[np.integer], NDArray[np.floating]]], count: int) -> int:
    """The number, 1 to ``count``, of the piece with the largest sum of foreground probability beyond one half.

    The sum, not the size: a large faint piece elsewhere must not beat a small certain one.

    Args:
        parts: of all labelled voxels, some after the other because counting takes copies of 8 bytes per voxel: the
            numbers of their pieces, and their probability of any label.
        count: of pieces.
    """
    mass = np.zeros(count + 1)
    for numbers, foreground in parts:
        mass += np.bincount(numbers, np.maximum(foreground - 0.5, 0.0), minlength=count + 1)
    return 1 + int(np.argmax(mass[1:]))
