"""A region of interest: a box in the world, which may be turned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.image.volume import Volume

Three = tuple[float, float, float]
UNTURNED = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
# Voxel centres that lie on the face of the box, but for rounding, are in it.
FACE_MM = 1e-4
SMALLEST_CORNER = 1e-3


@dataclass(frozen=True)
class Region:
    """A box.

    Attributes:
        centre_ras_mm: its middle.
        size_mm: lengths of its edges.
        axes_ras: unit vectors along the edges, one per edge.

    Raises:
        UsageError: an edge has no length, or the edges do not stand on each other at right angles.
    """

    centre_ras_mm: Three
    size_mm: Three
    axes_ras: tuple[Three, Three, Three] = UNTURNED

    def __post_init__(self) -> None:
        numbers = (*self.centre_ras_mm, *self.size_mm, *sum(self.axes_ras, ()))
        if not (np.isfinite(numbers).all() and min(self.size_mm) > 0):
            raise UsageError("the region has no size", remedy="Give it a length, a width and a height in millimetres")
        axes = np.asarray(self.axes_ras)
        if np.abs(axes @ axes.T - np.eye(3)).max() > SMALLEST_CORNER:
            raise UsageError(
                "the edges of the region are not at right angles", remedy="Use transforms that turn and move only"
            )

    @classmethod
    def between(cls, bounds_ras_mm: Sequence[float]) -> Region:
        """The box between R, A, S of one corner and of the opposite one, given as R R A A S S.

        >>> Region.between([0, 10, -5, 5, 20, 40]).centre_ras_mm
        (5.0, 0.0, 30.0)
        """
        pairs = np.asarray(bounds_ras_mm, dtype=float).reshape(3, 2)
        centre, size = pairs.mean(axis=1), np.abs(pairs[:, 1] - pairs[:, 0])
        return cls(_three(centre), _three(size))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Region:
        """The region that `as_dict` described.

        Raises:
            UsageError: it is none.
        """
        try:
            rows = np.asarray(plain.get("axes_ras", UNTURNED), dtype=float).reshape(3, 3)
            vectors = [np.asarray(plain[key], dtype=float).reshape(3) for key in ("centre_ras_mm", "size_mm")]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("the region lacks a centre or a size of three numbers") from error
        return cls(_three(vectors[0]), _three(vectors[1]), (_three(rows[0]), _three(rows[1]), _three(rows[2])))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in ``report.json`` and in requests to the worker."""
        return {
            "centre_ras_mm": list(self.centre_ras_mm),
            "size_mm": list(self.size_mm),
            "axes_ras": [list(axis) for axis in self.axes_ras],
        }

    def corners_ijk(self, volume: Volume) -> NDArray[np.float64]:
        """float64 ``(8, 3)``: the corners as voxel indices i, j, k of a volume."""
        signs = np.array(list(product((-0.5, 0.5), repeat=3)))
        corners = np.asarray(self.centre_ras_mm) + (signs * self.size_mm) @ np.asarray(self.axes_ras)
        to_ijk = np.linalg.inv(volume.ijk_to_ras)
        found: NDArray[np.float64] = corners @ to_ijk[:3, :3].T + to_ijk[:3, 3]
        return found

    def holds(self, volume: Volume, start_zyx: Sequence[int], shape_zyx: Sequence[int]) -> NDArray[np.bool_]:
        """bool ``(Z, Y, X)``: which voxels of a block of a volume have their centre in the region.

        Args:
            volume: the image.
            start_zyx: first voxel of the block.
            shape_zyx: of the block.
        """
        inside = np.empty(tuple(shape_zyx), dtype=np.bool_)
        axes, half_mm = np.asarray(self.axes_ras), np.asarray(self.size_mm) / 2 + FACE_MM
        # Along each edge of the box the place of a voxel is a sum of what i, j and k add to it.
        steps = axes @ volume.ijk_to_ras[:3, :3]
        origin = axes @ (volume.ijk_to_ras[:3, 3] - np.asarray(self.centre_ras_mm))
        k, j, i = (np.arange(first, first + count) for first, count in zip(start_zyx, shape_zyx, strict=True))
        for number, slice_k in enumerate(k):
            near = np.ones(inside.shape[1:], dtype=np.bool_)
            for edge in range(3):
                place = origin[edge] + steps[edge, 0] * i[None, :] + steps[edge, 1] * j[:, None]
                near &= np.abs(place + steps[edge, 2] * slice_k) <= half_mm[edge]
            inside[number] = near
        return inside


def _three(values: NDArray[np.float64]) -> Three:
    first, second, third = (float(value) for value in values)
    return first, second, third
