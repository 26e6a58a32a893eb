"""Which rows of an image a strip of rows of the network's grid gives, and which rows around it they depend on."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from MultiTaskSegLib.runtime.labels.surface_band import BAND_VOXELS


@dataclass(frozen=True)
class LabelRows:
    """One strip on its way from the network's grid to the image's own.

    Attributes:
        given: rows of the network's grid that are needed.
        wanted: rows of the image that they give.
        grid_rows, image_rows: of whole planes.
    """

    given: slice
    wanted: slice
    grid_rows: int
    image_rows: int


def context_rows(grid_rows: int, image_rows: int) -> int:
    """Rows of the network's grid around a strip on which its labels depend.

    The temperature near the surface looks as far as the band is wide, and linear interpolation to the next row, or over
    the rows that become one.
    """
    return ceil(max(grid_rows / image_rows, 1.0) + 0.5) + BAND_VOXELS


def label_rows(core: tuple[int, int], grid_rows: int, image_rows: int) -> LabelRows:
    """What a strip gives and needs; strips that cover the grid once give every row of the image once.

    Args:
        core: first row of the network's grid and the one after the last; may reach beyond the grid.
        grid_rows, image_rows: of whole planes.
    """
    # An image row belongs to the strip in which its centre lies; whole numbers, so that none falls between two strips.
    centres = (2 * np.arange(image_rows) + 1) * grid_rows // (2 * image_rows)
    first, last = (int(n) for n in np.searchsorted(centres, core))
    around = context_rows(grid_rows, image_rows)
    given = slice(max(0, core[0] - around), min(grid_rows, core[1] + around))
    return LabelRows(given, slice(first, last), grid_rows, image_rows)


def whole_plane(grid_rows: int, image_rows: int) -> LabelRows:
    """All rows at once."""
    return LabelRows(slice(0, grid_rows), slice(0, image_rows), grid_rows, image_rows)
