"""Which rows of an image a strip of rows of the network's grid gives, and which rows around it they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, floor

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

    def parts(self, most: int) -> Iterator[LabelRows]:
        """The strip in parts of at most so many wanted rows, each with the rows that interpolation needs for it."""
        ratio = self.grid_rows / self.image_rows
        for start in range(self.wanted.start, self.wanted.stop, most):
            stop = min(start + most, self.wanted.stop)
            around = interpolation_rows(self.grid_rows, self.image_rows)
            first = max(self.given.start, floor(start * ratio) - around)
            last = min(self.given.stop, ceil(stop * ratio) + around)
            yield replace(self, given=slice(first, last), wanted=slice(start, stop))


def interpolation_rows(grid_rows: int, image_rows: int) -> int:
    """Rows of the grid around one on which linear interpolation depends: the next one, or those that become one."""
    return ceil(max(grid_rows / image_rows, 1.0) + 0.5)


def context_rows(grid_rows: int, image_rows: int) -> int:
    """Rows of the network's grid around a strip on which its labels depend.

    The temperature near the surface looks as far as the band is wide, and interpolation a little further.
    """
    return interpolation_rows(grid_rows, image_rows) + BAND_VOXELS


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
