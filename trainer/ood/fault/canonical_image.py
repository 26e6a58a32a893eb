"""An image in anatomical axes and on a scale of its own: where faults act alike on CT, MR and 8-bit pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.geometry import ANISOTROPY_THRESHOLD, Reorientation, canonical_reorientation
from MultiTaskSegLib.runtime.image.preparation import spread_sample
from MultiTaskSegLib.runtime.image.volume import Volume


@dataclass(frozen=True)
class CanonicalImage:
    """Voxels with 0 at the image's 1st and 1 at its 99th percentile, axes ``(Z, Y, X)`` along S, P, L.

    Attributes:
        values: float32 ``(Z, Y, X)``; a little below 0 and above 1 at the extremes.
        spacing_zyx_mm: voxel size along the axes of ``values``.
        low, span: ``values * span + low`` are the voxels in the image's own units.
        floor: smallest voxel in the image's own units.
        reorientation: from the stored to the canonical axes.
    """

    values: NDArray[np.float32]
    spacing_zyx_mm: tuple[float, float, float]
    low: float
    span: float
    floor: float
    reorientation: Reorientation

    @property
    def is_stack(self) -> bool:
        """Whether slices were taken one by one: a 2-D image, or slices at least three times as thick as pixels."""
        z, y, x = self.spacing_zyx_mm
        return self.values.shape[0] == 1 or z >= ANISOTROPY_THRESHOLD * max(y, x)

    def draw_place(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Voxel ``(z, y, x)`` in the middle of the image where it is not darker than the mean: inside the body."""
        middle = tuple(slice(n // 5, max(n // 5 + 1, n - n // 5), max(1, n // 40)) for n in self.values.shape)
        part = self.values[middle]
        places = np.argwhere(part >= min(float(part.mean()), float(part.max())))
        place = places[int(rng.integers(len(places)))]
        z, y, x = (int(s.start + index * s.step) for s, index in zip(middle, place, strict=True))
        return z, y, x

    def restore(self, values: NDArray[np.float32], volume: Volume) -> Volume:
        """The volume with other canonical values.

        Values below the floor of an image without negative numbers are folded up: a magnitude image has none, and
        neither has an 8-bit picture.
        """
        voxels = np.asarray(self.reorientation.invert(values)) * np.float32(self.span) + np.float32(self.low)
        if self.floor >= 0:
            voxels = np.abs(voxels - np.float32(self.floor)) + np.float32(self.floor)
        return replace(volume, voxels=np.ascontiguousarray(voxels, dtype=np.float32))


def canonical_image(volume: Volume) -> CanonicalImage:
    """Reorient and scale a volume by its robust range.

    Raises:
        InputError: the image is constant or holds a number that is not finite.
    """
    low, span = robust_range(volume.voxels, volume.name)
    reorientation = canonical_reorientation(volume)
    values = (reorientation.apply(volume.voxels) - np.float32(low)) / np.float32(span)
    return CanonicalImage(
        np.ascontiguousarray(values, dtype=np.float32),
        reorientation.spacing_zyx_mm(volume),
        low,
        span,
        float(volume.voxels.min()),
        reorientation,
    )


def robust_range(voxels: NDArray[np.float32], name: str = "") -> tuple[float, float]:
    """1st percentile and its distance to the 99th; minimum and distance to the maximum where these are equal.

    Raises:
        InputError: the image is constant or holds a number that is not finite.
    """
    flat = voxels.reshape(-1)
    smallest, largest = float(flat.min()), float(flat.max())
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise InputError("voxels are not finite", file=name or None, remedy="Export the image again")
    if not largest > smallest:
        raise InputError("the image is constant", file=name or None, remedy="Choose an image that shows something")
    low, high = (float(v) for v in np.percentile(spread_sample(voxels), (1, 99)))
    return (low, high - low) if high > low else (smallest, largest - smallest)
