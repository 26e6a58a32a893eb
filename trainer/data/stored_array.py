"""Arrays in files of which only the part that is asked for is read, and no file stays open."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from safetensors import SafetensorError, safe_open

from MultiTaskSegLib.runtime.errors import ResourceError

Box = tuple[slice, slice, slice]


class Voxels(Protocol):
    """An array ``(Z, Y, X)`` in memory or on disk; `numpy.asarray` makes an array of all of it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(Z, Y, X)``."""

    @property
    def size(self) -> int:
        """Number of voxels."""

    def __getitem__(self, box: Box, /) -> NDArray[Any]:
        """A part, with steps of 1."""

    def __array__(self, dtype: Any = None, /) -> NDArray[Any]:
        """All of it."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file of tensors.

    The file is open only while it is read: a mapping that stays takes a file descriptor, of which a process has 1024 by
    default, or 256.

    Attributes:
        path: safetensors file.
        name: of the tensor in it.
        shape: of the tensor.
    """

    path: Path
    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __getitem__(self, box: Box, /) -> NDArray[Any]:
        """A part, with steps of 1; nothing else is read.

        Raises:
            ResourceError: the file is no longer there, or no longer whole.
        """
        try:
            with safe_open(str(self.path), framework="numpy") as file:
                part: NDArray[Any] = file.get_slice(self.name)[box]
                return part
        except (OSError, SafetensorError) as error:
            raise ResourceError(
                f"a prepared case is no longer there ({error})",
                file=self.path,
                remedy="Go on with --resume: it is made anew",
            ) from error

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it; always a copy."""
        return np.asarray(self[self._whole()], dtype=dtype)

    def _whole(self) -> Box:
        z, y, x = (slice(0, n) for n in self.shape)
        return z, y, x
