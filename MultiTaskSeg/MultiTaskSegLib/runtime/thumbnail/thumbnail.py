"""The picture itself: slice, grey values and outlines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.thumbnail.outline import outline
from MultiTaskSegLib.runtime.thumbnail.pixel_grid import PixelGrid

LONGEST_SIDE = 160  # pixels
BLACK_PERCENT, WHITE_PERCENT = 0.5, 99.5  # of the slice: single bright pixels must not darken all others
Colour = tuple[int, int, int]


def thumbnail(
    volume: Volume,
    labels: NDArray[np.uint8],
    colours: Mapping[int, Colour],
    regions: NDArray[np.bool_] | None = None,
    longest: int = LONGEST_SIDE,
) -> NDArray[np.uint8]:
    """Draw the slice with the most labelled voxels; without any, the middle one.

    Scans with thick slices are shown in the plane in which they were made, others axially; the patient's right is at
    the left of an axial picture, and his front at its top. Proportions are those in millimetres.

    Args:
        volume: the image; of several channels the first one is shown.
        labels: ``(Z, Y, X)`` on its grid.
        colours: red, green and blue, 0..255, by label value.
        regions: ``(R, Z, Y, X)`` in the order of ``colours``, where these may overlap; each gets its own outline.
        longest: pixels of the picture's longer side.

    Returns:
        uint8 ``(Y, X, 3)``.
    """
    turn = canonical_reorientation(volume)
    shown = shown_slice(turn.apply(labels))
    _, y_mm, x_mm = turn.spacing_zyx_mm(volume)
    plain = np.asarray(turn.apply(volume.voxels)[shown], dtype=np.float32)
    grid = PixelGrid.of((plain.shape[0], plain.shape[1]), (y_mm, x_mm), longest)
    picture = np.repeat(_grey(grid.means(plain))[..., np.newaxis], 3, axis=2)
    parts = (
        {value: turn.apply(labels)[shown] == value for value in colours}
        if regions is None
        else {value: np.asarray(turn.apply(one)[shown]) for value, one in zip(colours, regions, strict=True)}
    )
    seen = {value: grid.covered(part) for value, part in parts.items()}
    # The largest first: the line of a small structure is not drawn over by that of one beside it.
    for value in sorted(seen, key=lambda value: -int(np.count_nonzero(seen[value]))):
        picture[outline(seen[value])] = colours[value]
    return picture


def shown_slice(labels: NDArray[np.generic]) -> int:
    """Number of the slice of ``(Z, Y, X)`` with the most labelled voxels, else the middle one."""
    counts = [int(np.count_nonzero(plane)) for plane in labels]
    return int(np.argmax(counts)) if any(counts) else len(counts) // 2


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey values from black to white; one value alone is grey."""
    exact = values.astype(np.float64)  # the difference of two values need not be a float32
    black, white = np.percentile(exact, (BLACK_PERCENT, WHITE_PERCENT))
    if not white > black:  # nearly all of the slice has one value: what is left may be all that there is to see
        black, white = exact.min(), exact.max()
    if not white > black:
        return np.full(values.shape, 128, dtype=np.uint8)
    return np.asarray(np.rint(np.clip((exact - black) / (white - black), 0.0, 1.0) * 255), dtype=np.uint8)
