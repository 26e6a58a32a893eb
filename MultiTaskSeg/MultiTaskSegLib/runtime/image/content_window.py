"""The part of an image that is not padding: how much air lies around it must not change the answer inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """A box of a canonical array.

    Attributes:
        start: ``(Z, Y, X)`` of its first voxel.
        shape: ``(Z, Y, X)`` of the box.
        whole: ``(Z, Y, X)`` of the array that it is cut out of.
    """

    start: Triple
    shape: Triple
    whole: Triple

    def cut(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The box of an array ``(Z, Y, X)``, as a view."""
        return array[self._slices()]

    def embed(self, array: NDArray[np.generic], outside: float = 0) -> NDArray[np.generic]:
        """The array ``(Z, Y, X)`` that the box ``array`` is cut out of, with one value everywhere else."""
        if self.shape == self.whole:
            return array
        result = np.full(self.whole, outside, dtype=array.dtype)
        result[self._slices()] = array
        return result

    def _slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(first, first + count) for first, count in zip(self.start, self.shape, strict=True))
        return z, y, x


def shared_window(arrays: Sequence[NDArray[np.floating]], airs: Sequence[float]) -> Window:
    """The smallest box that holds the content of every channel; a channel that shows nothing asks for no place.

    Args:
        arrays: channels ``(Z, Y, X)`` on one grid.
        airs: of each, see `content_window`.
    """
    windows = [content_window(array, air) for array, air in zip(arrays, airs, strict=True)]
    if len(windows) == 1:
        return windows[0]
    telling = [w for w, array, air in zip(windows, arrays, airs, strict=True) if array.max() > air] or windows
    starts = np.min([window.start for window in telling], axis=0)
    stops = np.max([np.add(window.start, window.shape) for window in telling], axis=0)
    (z0, y0, x0), (z1, y1, x1) = starts.tolist(), stops.tolist()
    return Window((z0, y0, x0), (z1 - z0, y1 - y0, x1 - x0), telling[0].whole)


def content_window(array: NDArray[np.floating], air: float) -> Window:
    """The box that is left when outer planes go of which no voxel is above ``air``; all of it where nothing is.

    Args:
        array: ``(Z, Y, X)``.
        air: largest value of a voxel that shows nothing.
    """
    z, y, x = array.shape
    window = Window((0, 0, 0), (z, y, x), (z, y, x))
    starts, stops = [0, 0, 0], [z, y, x]
    for axis in range(3):
        # What is cut off along one axis need not be looked at along the next.
        inner = array[tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))]
        planes = np.moveaxis(inner, axis, 0)
        count = len(planes)
        first = next((n for n in range(count) if planes[n].max() > air), count)
        if first == count:
            return window
        last = next(n for n in reversed(range(count)) if planes[n].max() > air)
        starts[axis], stops[axis] = first, last + 1
    (z0, y0, x0), (z1, y1, x1) = starts, stops
    return Window((z0, y0, x0), (z1 - z0, y1 - y0, x1 - x0), (z, y, x))
