"""What JPEG leaves in the air around a picture: faint values up to the border of the block in which the content ends.

JPEG stores blocks of 8 x 8 pixels by their cosine components (ITU-T T.81, A.3). Where content ends within a block, the
rounded components leave ripples in the rest of it. They are invisible, but air is what has exactly the smallest value:
a picture of an ultrasound fan became up to 14 pixels larger than the same picture in PNG, and was shown to the network
smaller by as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_PIXELS = 8
"""Side of a block."""

MAX_RIPPLE = 0.1
"""Largest ripple, as a share of the largest value in the outermost blocks that are not air."""


def without_ringing(pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels ``(Z, Y, X)`` with the ripples around their content set to their smallest value.

    Looks only at rows and columns between the content and the border of its block, as the file stores them, and only
    where all of them are faint; a picture that is not surrounded by air stays as it is.
    """
    air = pixels.min()
    cleaned = pixels
    for axis in (1, 2):
        largest = cleaned.max(axis=tuple({0, 1, 2} - {axis})).astype(np.float64) - float(air)
        content = np.flatnonzero(largest)
        if not content.size:
            return pixels
        first, last = int(content[0]), int(content[-1])
        # The last block of a picture may be cut, so that blocks count from the first row and column only.
        low = _past_ripples(largest, first, first // BLOCK_PIXELS * BLOCK_PIXELS + BLOCK_PIXELS)
        high = _past_ripples(largest, last, last // BLOCK_PIXELS * BLOCK_PIXELS - 1)
        if first < low <= high or low <= high < last:
            cleaned = cleaned.copy() if cleaned is pixels else cleaned
            planes = np.moveaxis(cleaned, axis, 0)
            planes[first:low] = air
            planes[high + 1 : last + 1] = air
    return cleaned


def _past_ripples(largest: NDArray[np.float64], outermost: int, beyond: int) -> int:
    """The first plane that shows something, going inwards from the outermost one that is not air.

    Args:
        largest: of every plane, the largest value above air.
        outermost: its index.
        beyond: index of the first plane of the next block inwards.
    """
    step = 1 if beyond > outermost else -1
    block = [plane for plane in range(outermost, beyond, step) if plane < len(largest)]
    limit = MAX_RIPPLE * max(largest[plane] for plane in block)
    return next(plane for plane in block if largest[plane] > limit)
