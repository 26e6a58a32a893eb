"""One image with its geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Volume of the parallelepiped of the three axes, each of length 1, below which they lie in a plane.
SMALLEST_CORNER = 1e-6

Measured = Literal["voxel", "pixel", "nothing"]
"""What of a grid has a size in millimetres that its file states: the voxels; of a single slice without thickness only
its pixels; or, as in a photograph of a scan, nothing, so that the spacing gives proportions alone."""


@dataclass(frozen=True)
class Volume:
    """An image of one or more channels. A 2-D image is a volume of one slice.

    Attributes:
        voxels: float32 ``(Z, Y, X)``, of the first channel; index order is the reverse of ``ijk``.
        ijk_to_lps: float64 ``(4, 4)``, maps voxel index ``(i, j, k, 1)`` (``i`` runs along X) to LPS millimetres.
        name: what to call the image in messages and reports.
        warnings: what was found and mended while reading.
        measured: what of the grid has a size that is known.
        further: float32 ``(Z, Y, X)`` each, the other channels on the same grid: see `channel_set.joined`.
        whole: the image that this one is a part of; intensities are scaled as all of it is, so that a part looks to the
            network as it does within the whole.

    Raises:
        InputError: the array is not three-dimensional or empty, a channel has another size, or the matrix is not an
            invertible affine.
    """

    voxels: NDArray[np.float32]
    ijk_to_lps: NDArray[np.float64]
    name: str = ""
    warnings: tuple[str, ...] = field(default=())
    measured: Measured = "voxel"
    further: tuple[NDArray[np.float32], ...] = ()
    whole: Volume | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise InputError(
                f"the image has shape {self.voxels.shape}, not three non-empty axes",
                file=self.name or None,
                remedy="Give one scalar volume or one 2-D image",
            )
        if other := next((channel.shape for channel in self.further if channel.shape != self.voxels.shape), None):
            raise InputError(
                f"one channel has shape {other}, the first one {self.voxels.shape}",
                file=self.name or None,
                remedy="Bring the channels onto one grid",
            )
        require_invertible(self.ijk_to_lps, self.name)

    @property
    def channels(self) -> tuple[NDArray[np.float32], ...]:
        """All channels, float32 ``(Z, Y, X)`` each, in the order in which they were given."""
        return (self.voxels, *self.further)

    @property
    def channel_count(self) -> int:
        """How many channels there are."""
        return 1 + len(self.further)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(Z, Y, X)``."""
        z, y, x = self.voxels.shape
        return z, y, x

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k (X, Y, Z) in millimetres."""
        i, j, k = np.linalg.norm(self.ijk_to_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def ijk_to_ras(self) -> NDArray[np.float64]:
        """float64 ``(4, 4)``: voxel index to RAS millimetres, the frame of Slicer."""
        return LPS_TO_RAS @ self.ijk_to_lps

    @property
    def has_physical_size(self) -> bool:
        """Whether lengths in the plane of the image mean anything in millimetres."""
        return self.measured != "nothing"

    @property
    def voxel_volume_mm3(self) -> float | None:
        """Volume of one voxel in cubic millimetres; None where its size is not known."""
        return float(abs(np.linalg.det(self.ijk_to_lps[:3, :3]))) if self.measured == "voxel" else None

    @property
    def pixel_area_mm2(self) -> float | None:
        """Area of one pixel of a 2-D image in square millimetres; None where its size is not known, and in 3-D."""
        if not self.is_planar or not self.has_physical_size:
            return None
        return float(np.prod(np.delete(self.spacing_mm, self.across_slice)))

    @property
    def stored_along(self) -> tuple[int, int, int]:
        """For the body axes L, P and S, the ijk axis that lies along each, or nearly so."""
        direction = self.ijk_to_lps[:3, :3] / np.asarray(self.spacing_mm)

        def agreement(order: tuple[int, ...]) -> float:
            """``order[b]`` is the ijk axis for body axis b."""
            return float(sum(abs(direction[b, stored]) for b, stored in enumerate(order)))

        left, back, up = max(permutations(range(3)), key=agreement)
        return left, back, up

    @property
    def across_slice(self) -> int:
        """The ijk axis across the slice of a 2-D image.

        Of a single line of pixels every plane through it is one; which is taken depends on the body, not on the order
        of storage: the axial one if the line lies in it, else the coronal one.

        Raises:
            ValueError: the image is 3-D.
        """
        sizes_ijk = self.shape[::-1]
        if not self.is_planar:
            raise ValueError("a 3-D image has no slice")
        return next(axis for axis in reversed(self.stored_along) if sizes_ijk[axis] == 1)

    @property
    def is_planar(self) -> bool:
        """Whether this is a 2-D image: exactly one slice along some axis."""
        return 1 in self.voxels.shape


def require_invertible(ijk_to_lps: NDArray[np.float64], name: str) -> None:
    """Refuse a grid whose voxels lie nowhere or in a plane.

    Args:
        ijk_to_lps: ``(4, 4)``.
        name: of the image, for the message; may be empty.

    Raises:
        InputError: the matrix is not finite, or has no inverse.
    """
    affine = np.asarray(ijk_to_lps, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not _spans_space(affine[:3, :3]):
        raise InputError(
            "the voxel-to-world matrix is not an invertible 4x4 matrix",
            file=name or None,
            remedy="Correct spacing and orientation in the header",
        )


def _spans_space(columns: NDArray[np.float64]) -> bool:
    """Whether three axes point in independent directions, however small the voxels are."""
    lengths_mm = np.linalg.norm(columns, axis=0)
    return bool(lengths_mm.min() > 0 and abs(np.linalg.det(columns / lengths_mm)) > SMALLEST_CORNER)
