"""Preprocessing profile: the grid and the intensity scale on which a group of tasks is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.geometry import Reorientation, canonical_reorientation
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.image.volume import Volume

# An axis is never made finer than this factor, and only as long as the grid stays below this many voxels: finer grids
# add no information, and the cost of a large coarse scan would explode. Such an image is far from the training images
# and is meant to be noticed.
MAX_UPSAMPLING = 2.0
MAX_UPSAMPLED_VOXELS = 4_000_000


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
    pixels, because photographs of scans rarely carry a trustworthy pixel size.
    """

    name: str
    grid: Literal["spacing", "fit"]
    intensity: Intensity
    spacing_zyx_mm: tuple[float, float, float] | None = None
    matrix: int | None = None

    def __post_init__(self) -> None:
        if (self.grid == "spacing") != (self.spacing_zyx_mm is not None) or (self.grid == "fit") != (
            self.matrix is not None
        ):
            raise InputError(f"profile {self.name!r} needs spacing_zyx_mm for 'spacing' and matrix for 'fit'")

    def grid_shape(self, volume: Volume, reorientation: Reorientation) -> tuple[int, int, int]:
        """``(Z, Y, X)`` of the network grid for a volume."""
        z, y, x = (volume.shape[axis] for axis in reorientation.axes)
        if self.matrix is not None:
            scale = self.matrix / max(y, x)
            return z, max(1, round(y * scale)), max(1, round(x * scale))
        assert self.spacing_zyx_mm is not None
        spacing = np.asarray(reorientation.spacing_zyx_mm(volume))
        sizes = np.asarray((z, y, x), dtype=np.float64)
        factors = np.minimum(spacing / np.asarray(self.spacing_zyx_mm), MAX_UPSAMPLING)
        finer = factors > 1
        if finer.any() and (sizes * factors).prod() > MAX_UPSAMPLED_VOXELS:
            room = max(1.0, MAX_UPSAMPLED_VOXELS / float((sizes * np.minimum(factors, 1.0)).prod()))
            factors[finer] = np.minimum(factors[finer], room ** (1.0 / finer.sum()))
        nz, ny, nx = (max(1, round(float(n))) for n in sizes * factors)
        return nz, ny, nx

    def distance(self, volume: Volume) -> float:
        """How far the volume's voxel size is from this profile's (root of summed squared log ratios)."""
        if self.spacing_zyx_mm is None:
            return 0.0
        spacing = canonical_reorientation(volume).spacing_zyx_mm(volume)
        return float(np.linalg.norm(np.log(np.asarray(spacing) / np.asarray(self.spacing_zyx_mm))))

    def suits(self, volume: Volume) -> bool:
        """Whether the volume's values can be on this profile's scale: a clipped absolute scale (Hounsfield units)
        expects values below the range, such as air; an 8-bit picture of a CT has none."""
        return self.intensity.method == "percentile" or float(volume.voxels.min()) < self.intensity.low


@dataclass(frozen=True)
class Prepared:
    """Network input with what is needed to bring results back.

    Attributes:
        voxels: float32 ``(Z, Y, X)`` in [0, 1] on the profile's grid.
        reorientation: from the stored to the canonical array.
        canonical_shape: ``(Z, Y, X)`` of the canonical array before resampling.
    """

    voxels: NDArray[np.float32]
    reorientation: Reorientation
    canonical_shape: tuple[int, int, int]

    def restore(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Canonical array of ``canonical_shape`` to the stored order of the input."""
        return np.ascontiguousarray(self.reorientation.invert(array))


def prepare(volume: Volume, profile: Profile) -> Prepared:
    """Reorient, resample and scale a volume for the network.

    Raises:
        InputError: the image is constant, so there is nothing to see.
    """
    reorientation = canonical_reorientation(volume)
    canonical = np.asarray(reorientation.apply(volume.voxels), dtype=np.float32)
    z, y, x = canonical.shape
    grid = resample_linear(canonical, profile.grid_shape(volume, reorientation))
    return Prepared(scale_intensity(grid, profile.intensity, volume.name), reorientation, (z, y, x))


def scale_intensity(array: NDArray[np.float32], intensity: Intensity, name: str = "") -> NDArray[np.float32]:
    """Map values to [0, 1] and clip.

    Raises:
        InputError: the scaled image is constant.
    """
    low, high = intensity.low, intensity.high
    if intensity.method == "percentile":
        low, high = (float(v) for v in np.percentile(_sample(array), (low, high)))
        if not high > low:
            low, high = float(array.min()), float(array.max())
    scale = np.float32(1.0 / (high - low) if high > low else 0.0)
    scaled: NDArray[np.float32] = np.clip((array - np.float32(low)) * scale, 0.0, 1.0)
    if not float(scaled.max()) > float(scaled.min()):
        raise InputError("the image is constant", file=name or None, remedy="Choose an image that shows something")
    return scaled.astype(np.float32, copy=False)


def _sample(array: NDArray[np.float32], limit: int = 2_000_000) -> NDArray[np.float32]:
    """Evenly spaced voxels: percentiles of a large volume need no more."""
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // limit)]
