"""Which pixels of a picture lie on the border of a structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marked pixels of ``(Y, X)`` with one above, below, left or right that is not, or the edge of the picture.

    >>> outline(np.pad(np.ones((3, 3), np.bool_), 1)).astype(int)[2]
    array([0, 1, 0, 1, 0])
    """
    around = np.pad(mask, 1)
    inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inner
