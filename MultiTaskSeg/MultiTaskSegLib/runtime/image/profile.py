"""Preprocessing profile: the grid and the intensity scale on which a group of tasks is learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume

# An axis is never made finer than this factor: finer grids add no information. Such an image is far from the training
# images and is meant to be noticed.
MAX_UPSAMPLING = 2.0

# Decimals of a number of voxels that are not rounding errors.
VOXEL_DIGITS = 3

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Intensity:
    """How voxel values become network input in [0, 1].

    ``percentile``: ``low`` and ``high`` are percentiles of the image itself (MR, X-ray, ultrasound).
    ``range``: ``low`` and ``high`` are values, for calibrated scales (CT in Hounsfield units).
    """

    method: Literal["percentile", "range"]
    low: float
    high: float


@dataclass(frozen=True)
class Profile:
    """Grid and intensity scale shared by tasks.

    ``spacing``: resample to ``spacing_zyx_mm``. ``fit``: scale a 2-D image so that its longer side has ``matrix``
    square pixels, because photographs of scans rarely carry a trustworthy pixel size. ``intensity`` is that of the
    first channel, ``further`` has those of the others.
    """

    name: str
    grid: Literal["spacing", "fit"]
    intensity: Intensity
    spacing_zyx_mm: tuple[float, float, float] | None = None
    matrix: int | None = None
    # A later field, see `model.structure.LATER`.
    further: tuple[Intensity, ...] = field(default=(), metadata={"later": True})

    def __post_init__(self) -> None:
        if (self.grid == "spacing") != (self.spacing_zyx_mm is not None) or (self.grid == "fit") != (
            self.matrix is not None
        ):
            raise InputError(f"profile {self.name!r} needs spacing_zyx_mm for 'spacing' and matrix for 'fit'")

    @property
    def intensities(self) -> tuple[Intensity, ...]:
        """Of all channels, the first one first."""
        return (self.intensity, *self.further)

    @property
    def channel_count(self) -> int:
        """How many channels an image has."""
        return 1 + len(self.further)

    def reached_spacing_zyx_mm(self, shape: Triple, spacing_zyx_mm: Spacing) -> Spacing:
        """Voxel size on the network's grid along Z, Y, X, but for the rounding to whole voxels.

        Args:
            shape: ``(Z, Y, X)`` of the canonical image.
            spacing_zyx_mm: its voxel size. Of a picture without a size only the proportions count.
        """
        if self.matrix is not None:
            # Longer side in millimetres: on the network's grid pixels are square.
            pixel_mm = max(count * mm for count, mm in zip(shape[1:], spacing_zyx_mm[1:], strict=True)) / self.matrix
            return spacing_zyx_mm[0], pixel_mm, pixel_mm
        assert self.spacing_zyx_mm is not None
        finest_mm = np.asarray(spacing_zyx_mm) / MAX_UPSAMPLING
        z, y, x = (float(mm) for mm in np.maximum(self.spacing_zyx_mm, finest_mm))
        return z, y, x

    def grid_shape(self, shape: Triple, spacing_zyx_mm: Spacing, reached: Spacing | None = None) -> Triple:
        """``(Z, Y, X)`` of the network's grid; arguments as of `reached_spacing_zyx_mm`, and its voxel size where that
        is known already."""
        reached = reached or self.reached_spacing_zyx_mm(shape, spacing_zyx_mm)
        nz, ny, nx = (_whole(n * mm / new) for n, mm, new in zip(shape, spacing_zyx_mm, reached, strict=True))
        return nz, ny, nx

    def air(self, volume: Volume) -> tuple[float, ...]:
        """By channel, the largest value that shows nothing: the smallest of the image, and on a scale in Hounsfield
        units everything that is clipped to 0 anyway. Pictures are framed by what they show, so only their smallest
        value counts."""
        smallest = [float(channel.min()) for channel in volume.channels]
        if self.matrix is not None:
            return tuple(smallest)
        scales = zip(smallest, self.intensities, strict=True)
        return tuple(max(least, own.low) if own.method == "range" else least for least, own in scales)

    def distance(self, volume: Volume) -> float:
        """How far the volume's voxel size is from this profile's (root of summed squared log ratios)."""
        if self.spacing_zyx_mm is None:
            return 0.0
        spacing = canonical_reorientation(volume).spacing_zyx_mm(volume)
        return float(np.linalg.norm(np.log(np.asarray(spacing) / np.asarray(self.spacing_zyx_mm))))

    def suits(self, volume: Volume) -> bool:
        """Whether the volume's values can be on this profile's scale: a clipped absolute scale (Hounsfield units)
        expects values below the range, such as air; an 8-bit picture of a CT has none."""
        return all(
            own.method == "percentile" or float(channel.min()) < own.low
            for channel, own in zip(volume.channels, self.intensities, strict=True)
        )


def _whole(voxels: float) -> int:
    """Voxels along an axis, at least one.

    Halves are common, such as 15 voxels of 1.5 mm on a grid of 1 mm; the last digits of a header must not decide to
    which side they go.
    """
    return max(1, round(round(voxels, VOXEL_DIGITS)))
