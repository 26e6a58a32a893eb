"""Which pixels of a picture lie on the border of a structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def outline(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Labelled pixels of ``(Y, X)`` with another value above, below, left or right, or the edge of the picture.

    >>> outline(np.pad(np.ones((3, 3), np.uint8), 1)).astype(int)[2]
    array([0, 1, 0, 1, 0])
    """
    around = np.pad(labels, 1)
    neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    border: NDArray[np.bool_] = (labels > 0) & np.any([labels != neighbour for neighbour in neighbours], axis=0)
    return border
