"""Several images of one body as the channels of one volume, all on the grid of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.volume import Volume

# In voxels of the first image: corners that lie as near as this are the same; headers round.
SAME_PLACE = 0.01
# In voxels: a grid that is turned or flipped, or shifted by whole voxels, needs no interpolation.
WHOLE_VOXEL = 1e-3
# Of the first image's voxels: what another one covers less of shows something else.
SMALLEST_OVERLAP = 0.1


def joined(volumes: Sequence[Volume], names: Sequence[str] = ()) -> Volume:
    """One volume of several channels, on the grid of the first image.

    An image on another grid is interpolated linearly, smoothed before where its voxels are smaller; where it shows
    nothing of the first one's field of view it has its own lowest value.

    Args:
        volumes: of one channel each, at least one.
        names: of the channels, for messages; the images' own names by default.

    Raises:
        InputError: an image has several channels itself, overlaps with less than a tenth of the first one, or has
            another number of pixels and no physical size that would tell where it lies.
    """
    first, *others = volumes
    told = tuple(names) or tuple(volume.name or f"channel {number + 1}" for number, volume in enumerate(volumes))
    for name, volume in zip(told, volumes, strict=True):
        if volume.channel_count > 1:
            raise InputError(f"the image for {name} has several channels", file=volume.name or None)
    warnings, further = list(first.warnings), []
    for name, other in zip(told[1:], others, strict=True):
        voxels, notes = _on_grid_of(first, told[0], other, name)
        further.append(voxels)
        warnings += [f"{name}: {warning}" for warning in other.warnings] + notes
    return replace(first, warnings=tuple(dict.fromkeys(warnings)), further=tuple(further))


def _on_grid_of(first: Volume, first_name: str, other: Volume, name: str) -> tuple[NDArray[np.float32], list[str]]:
    """Voxels ``(Z, Y, X)`` of another image on the first one's grid, and what is to be told about it."""
    if not (first.has_physical_size and other.has_physical_size):
        if other.shape != first.shape:
            raise InputError(
                f"{name} has {_size(other)} pixels, {first_name} has {_size(first)}, and no physical size tells how "
                "they lie to each other",
                file=other.name or None,
                remedy="Give channels of one size, or files that state spacing and position",
            )
        return other.voxels, []
    ijk_to_ijk = np.linalg.inv(other.ijk_to_lps) @ first.ijk_to_lps
    if other.shape == first.shape and _is_same_grid(ijk_to_ijk, first.shape):
        return other.voxels, []
    voxels, covered = _interpolated(other, ijk_to_ijk, first.shape)
    if covered < SMALLEST_OVERLAP:
        raise InputError(
            f"{name} covers {100 * covered:.0f} % of the field of view of {first_name}",
            file=other.name or None,
            remedy="Give images of the same patient and part of the body that lie in one frame; register them first",
        )
    notes = [f"{name} lies on another grid than {first_name} and was brought onto it"]
    if covered < 1:
        notes.append(f"{name} covers {100 * covered:.0f} % of the field of view of {first_name}")
    return voxels, notes


def _size(volume: Volume) -> str:
    return " x ".join(str(count) for count in reversed(volume.shape))


def _is_same_grid(ijk_to_ijk: NDArray[np.float64], shape: tuple[int, int, int]) -> bool:
    ends = [(0, count - 1) for count in reversed(shape)]
    corners = np.array([(*corner, 1) for corner in product(*ends)], dtype=float)
    return bool(np.abs(corners @ ijk_to_ijk.T - corners).max() <= SAME_PLACE)


def _interpolated(
    volume: Volume, ijk_to_ijk: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], float]:
    """Voxels at the places of another grid, slice by slice, and the share of them that lies in the image.

    Args:
        volume: the image.
        ijk_to_ijk: ``(4, 4)``, from an index ``(i, j, k, 1)`` of the other grid to one of the image.
        shape: ``(Z, Y, X)`` of the other grid.
    """
    whole = np.rint(ijk_to_ijk)
    if np.abs(ijk_to_ijk - whole)[:3, :3].max() * max(shape) < WHOLE_VOXEL and _is_near(ijk_to_ijk, whole):
        ijk_to_ijk = whole
    matrix = ijk_to_ijk[2::-1, 2::-1]  # from and to (z, y, x)
    offset = ijk_to_ijk[2::-1, 3]
    source, lowest = _smoothed(volume.voxels, matrix), float(volume.voxels.min())
    last = np.array(volume.shape, dtype=float)[:, None, None] - 0.5
    rows, columns = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    result = np.empty(shape, dtype=np.float32)
    covered = 0
    for z in range(shape[0]):
        index = np.stack([np.full_like(rows, z), rows, columns]).astype(float)
        places = np.tensordot(matrix, index, axes=1) + offset[:, None, None]
        inside = ((places >= -0.5) & (places <= last)).all(axis=0)
        found = ndimage.map_coordinates(source, places, order=1, mode="nearest", output=np.float32)
        result[z] = np.where(inside, found, lowest)
        covered += int(inside.sum())
    return result, covered / result.size


def _is_near(ijk_to_ijk: NDArray[np.float64], whole: NDArray[np.float64]) -> bool:
    return bool(np.abs(ijk_to_ijk - whole)[:3, 3].max() < WHOLE_VOXEL)


def _smoothed(voxels: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Without detail that a coarser grid could not show: one step of it along an axis of the image counts."""
    steps = np.abs(matrix).max(axis=1)
    # The blur of a voxel of the coarser grid, less that of the image's own: standard deviations of boxes.
    sigmas = np.sqrt(np.maximum(steps**2 - 1, 0) / 12)
    if not sigmas.any():
        return voxels
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(voxels, sigmas, mode="nearest")
    return smooth
