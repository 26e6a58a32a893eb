"""The part of an image that a network needs to see to label a region of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.geometry import ANISOTROPY_THRESHOLD, canonical_reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.selection.region import Region

Block = tuple[slice, slice, slice]

# What a network sees around a region makes its labels there better, and costs time. It gets so many voxels on each side
# at most, and fewer where region and surroundings would have more than so many times the voxels of the region and more
# than this share of the image: a region of an eighth is to cost less than a quarter.
CONTEXT_VOXELS = 32
MAX_GROWTH, MAX_SHARE = 1.6, 0.15
# Through thick slices one step is as far as many in the plane.
THICK_SLICE_STEPS = 8
STEP = 4
LEAST_SLICES = 2


@dataclass(frozen=True)
class ImagePart:
    """A region of an image with what surrounds it.

    Attributes:
        whole: the image.
        region: what is wanted.
        block: ``(Z, Y, X)``, what of the image's arrays is seen.
    """

    whole: Volume
    region: Region
    block: Block

    @classmethod
    def of(cls, whole: Volume, region: Region) -> ImagePart:
        """The part that is needed for a region.

        Raises:
            InputError: no voxel of the image lies in the region.
        """
        wanted = _block_of(whole, region)
        inside = region.holds(whole, [side.start for side in wanted], [side.stop - side.start for side in wanted])
        if not inside.any():
            raise _outside(whole)
        return cls(whole, region, _grown(whole, wanted))

    @property
    def volume(self) -> Volume:
        """The part as an image of its own; it knows the whole, whose intensities it has."""
        starts_ijk = [side.start for side in reversed(self.block)]
        matrix = self.whole.ijk_to_lps.copy()
        matrix[:3, 3] += matrix[:3, :3] @ np.asarray(starts_ijk, dtype=float)
        first, *further = (np.ascontiguousarray(channel[self.block]) for channel in self.whole.channels)
        return replace(self.whole, voxels=first, further=tuple(further), ijk_to_lps=matrix, whole=self.whole)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """bool ``(Z, Y, X)`` of the part: what lies in the region."""
        shape = [side.stop - side.start for side in self.block]
        return self.region.holds(self.whole, [side.start for side in self.block], shape)

    def in_whole(self, array: NDArray[np.generic], outside: float) -> NDArray[np.generic]:
        """An array ``(Z, Y, X)`` of the part as one of the whole image; everything outside the region has one value."""
        result = np.full(self.whole.shape, outside, dtype=array.dtype)
        np.copyto(result[self.block], array, where=self.inside)
        return result


def _block_of(volume: Volume, region: Region) -> Block:
    corners = region.corners_ijk(volume)[:, ::-1]
    lows = np.ceil(corners.min(axis=0) - 1e-6).astype(int)
    highs = np.floor(corners.max(axis=0) + 1e-6).astype(int) + 1
    lows, highs = np.clip(lows, 0, volume.shape), np.clip(highs, 0, volume.shape)
    if (highs <= lows).any():
        raise _outside(volume)
    return _block(lows, highs)


def _grown(volume: Volume, wanted: Block) -> Block:
    """A region's block with as much around it as is worth its time."""
    budget = max(MAX_GROWTH * _size(wanted), MAX_SHARE * prod(volume.shape))
    return next((block for block in _choices(volume, wanted) if _size(block) <= budget), _thick_enough(volume, wanted))


def _choices(volume: Volume, wanted: Block) -> Iterator[Block]:
    spacing = np.asarray(volume.spacing_mm[::-1])
    is_thick = spacing >= ANISOTROPY_THRESHOLD * spacing.min()
    turned = canonical_reorientation(volume)
    is_flipped = np.zeros(3, dtype=np.bool_)
    is_flipped[list(turned.axes)] = turned.flips
    for voxels in range(CONTEXT_VOXELS, 0, -1):
        margin = np.where(is_thick, -(-voxels // THICK_SLICE_STEPS), voxels)
        # Where the network's grid is the image's, its first strides then fall on the same voxels as in the whole.
        before = np.array([side.start for side in wanted]) - margin
        after = np.array(volume.shape) - [side.stop for side in wanted] - margin
        more = np.where(is_thick, 0, np.maximum(np.where(is_flipped, after, before), 0) % STEP)
        sides = margin + np.where(is_flipped, 0, more), margin + np.where(is_flipped, more, 0)
        yield _thick_enough(volume, _margined(volume, wanted, *sides))


def _thick_enough(volume: Volume, block: Block) -> Block:
    """A block of a 3-D image with two voxels along each axis at least: one slice would be another kind of image."""
    if volume.is_planar:
        return block
    thin = np.array([side.stop - side.start < LEAST_SLICES for side in block])
    return _margined(volume, block, thin.astype(int), thin.astype(int))


def _margined(volume: Volume, block: Block, before: NDArray[np.integer], after: NDArray[np.integer]) -> Block:
    lows = np.maximum([side.start for side in block] - before, 0)
    highs = np.minimum([side.stop for side in block] + after, volume.shape)
    return _block(lows, highs)


def _block(lows: NDArray[np.integer], highs: NDArray[np.integer]) -> Block:
    z, y, x = (slice(int(low), int(high)) for low, high in zip(lows, highs, strict=True))
    return z, y, x


def _size(block: Block) -> int:
    return prod(side.stop - side.start for side in block)


def _outside(volume: Volume) -> InputError:
    return InputError(
        "the region of interest holds no voxel of the image",
        file=volume.name or None,
        remedy="Move it onto the image, or make it larger; its numbers are millimetres in RAS",
    )
