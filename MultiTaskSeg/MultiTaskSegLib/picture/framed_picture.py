"""The picture of a result in a frame of the colour of its verdict. No torch here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.picture.png import png
from MultiTaskSegLib.picture.verdict_colour import COLOURS, UNCHECKED_COLOUR

FRAME_PIXELS = 5


def framed_picture(pixels: NDArray[np.uint8], verdict: str) -> bytes:
    """The bytes of a PNG file of ``(Y, X, 3)`` pixels, the frame around them; ``verdict`` as of `verdict_words`."""
    height, width, _ = pixels.shape
    framed = np.empty((height + 2 * FRAME_PIXELS, width + 2 * FRAME_PIXELS, 3), dtype=np.uint8)
    framed[:] = tuple(bytes.fromhex(COLOURS.get(verdict, UNCHECKED_COLOUR).removeprefix("#")))
    framed[FRAME_PIXELS:-FRAME_PIXELS, FRAME_PIXELS:-FRAME_PIXELS] = pixels
    return png(framed)
