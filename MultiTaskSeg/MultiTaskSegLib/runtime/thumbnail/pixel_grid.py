"""The pixels of a picture, each of which shows one pixel of a slice, or a block of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PixelGrid:
    """Where in a slice each row and each column of a picture begins; those of a larger picture repeat.

    Attributes:
        rows, columns: int64 indices into the slice, that never fall.
        size: ``(Y, X)`` of the slice.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    size: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], spacing_mm: tuple[float, float], longest: int) -> PixelGrid:
        """The grid whose longer side has ``longest`` pixels, in the proportions that the slice has in millimetres.

        >>> grid = PixelGrid.of((10, 20), (4.0, 1.0), 80)
        >>> (len(grid.rows), len(grid.columns))
        (80, 40)
        """
        sides_mm = np.multiply(size, spacing_mm)
        height, width = np.maximum(np.rint(longest * sides_mm / sides_mm.max()), 1).astype(np.int64)
        return cls(np.arange(height) * size[0] // height, np.arange(width) * size[1] // width, size)

    def means(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of each block of a slice ``(Y, X)`` the mean; blocks of one value have that value."""
        # In double precision: neither does a sum overflow, nor do equal values come out a little apart.
        by_row = np.add.reduceat(values, self.rows, axis=0, dtype=np.float64)
        sums = np.add.reduceat(by_row, self.columns, axis=1)
        counts = np.outer(_lengths(self.rows, self.size[0]), _lengths(self.columns, self.size[1]))
        return (sums / counts).astype(np.float32)

    def covered(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of each block of a slice ``(Y, X)`` whether any of it is marked: what is smaller than a pixel is not lost."""
        by_row: NDArray[np.bool_] = np.logical_or.reduceat(mask, self.rows, axis=0)
        return np.asarray(np.logical_or.reduceat(by_row, self.columns, axis=1), dtype=np.bool_)


def _lengths(starts: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """How many pixels each block has; those that begin where the next one does have one."""
    return np.maximum(np.diff(starts, append=end), 1)
