"""Small changes of an image that leave what it shows where it was: a sure network finds the same in all of them.

Nothing is resampled. A stretch changes the voxel size in the header alone, so that the network sees the image on
another grid, and its labels come back on the very voxels; a change of contrast keeps every voxel where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import spread_sample
from MultiTaskSegLib.runtime.image.volume import Volume

PERCENTILES = (0.5, 99.5)
# Enough to know percentiles by; all voxels of a large image would take as much memory again.
SAMPLED_VOXELS = 1_000_000
PROPORTIONS = {"wider": (1.12, 0.9), "higher": (0.9, 1.12)}


@dataclass(frozen=True)
class Change:
    """How an image is changed.

    Attributes:
        name: short and unique.
        stretch_lps: factors of the voxel size along the body axes L, P and S.
        exponent: of the intensities between the `PERCENTILES`, taken as 0 to 1; what is beyond stays.
    """

    name: str
    stretch_lps: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exponent: float = 1.0

    def of(self, volume: Volume, is_absolute: Sequence[bool]) -> Volume:
        """The image, changed; as part of a whole that is changed alike.

        Args:
            volume: the image.
            is_absolute: by channel, whether its values are on a scale of their own, so that they stay.
        """
        pairs = zip((volume.whole or volume).channels, is_absolute, strict=True)
        limits = [None if kept or self.exponent == 1.0 else _limits(channel) for channel, kept in pairs]
        return self._changed(volume, limits)

    def stretched(self, volume: Volume) -> Volume:
        """The image with the voxel size of the changed one, and with its own intensities."""
        return self._changed(volume, [None] * volume.channel_count)

    def _changed(self, volume: Volume, limits: Sequence[tuple[float, float] | None]) -> Volume:
        whole = None if volume.whole is None else self._changed(volume.whole, limits)
        pairs = zip(volume.channels, limits, strict=True)
        first, *further = (channel if own is None else self._contrasted(channel, *own) for channel, own in pairs)
        return replace(volume, voxels=first, further=tuple(further), ijk_to_lps=self._stretched(volume), whole=whole)

    def _stretched(self, volume: Volume) -> NDArray[np.float64]:
        matrix = np.array(volume.ijk_to_lps, dtype=np.float64)
        for axis, factor in zip(volume.stored_along, self.stretch_lps, strict=True):
            matrix[:3, axis] *= factor
        return matrix

    def _contrasted(self, voxels: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
        if not high > low:
            return voxels
        changed: NDArray[np.float32] = voxels.copy()
        for plane in changed:  # slice by slice, so that no third image is held
            between = (plane > low) & (plane < high)
            share = (plane[between] - low) / (high - low)
            plane[between] = low + (high - low) * share**self.exponent
        return changed


SIZES = (Change("larger", stretch_lps=(1.1, 1.1, 1.1)), Change("smaller", stretch_lps=(0.9, 0.9, 0.9)))
CONTRASTS = (Change("brighter", exponent=0.75), Change("darker", exponent=1.33))


def _limits(voxels: NDArray[np.float32]) -> tuple[float, float]:
    """Intensities at the `PERCENTILES`."""
    low, high = np.percentile(spread_sample(voxels, SAMPLED_VOXELS), PERCENTILES)
    return float(low), float(high)


def changes_of(volume: Volume, is_absolute: Sequence[bool]) -> tuple[Change, ...]:
    """What a thorough check does to an image, one after the other; see `Change.of` for the arguments.

    Measured: in volumes changes of contrast tell less than sizes do, and more looks than two no more; of a picture,
    which has no size, proportions and contrast together tell most.
    """
    contrasts = () if not volume.is_planar or all(is_absolute) else CONTRASTS
    return (*_stretches(volume), *contrasts)


def stretched_copies(volume: Volume) -> tuple[Volume, ...]:
    """The image in all voxel sizes in which a thorough check looks at it: in some it takes more memory than in its own.

    No voxel is copied.
    """
    return tuple(change.stretched(volume) for change in _stretches(volume))


def _stretches(volume: Volume) -> tuple[Change, ...]:
    if not volume.is_planar:
        return SIZES
    return tuple(Change(name, _in_plane(volume, *factors)) for name, factors in PROPORTIONS.items())


def _in_plane(volume: Volume, first: float, second: float) -> tuple[float, float, float]:
    """Factors along L, P and S that stretch the two axes of a picture."""
    factors = iter((first, second))
    left, back, up = (1.0 if axis == volume.across_slice else next(factors) for axis in volume.stored_along)
    return left, back, up
