"""A head's label map as images are drawn from it: kept in memory, with the envelope of the brain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.image_file import read_label_map
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.synthesis.anatomy import is_brain

ENVELOPE_MM = 4.0
# Up to so many maps are held by a process, of some 10 MB each.
MOST = 64


@dataclass(frozen=True)
class LabelMap:
    """One head.

    Attributes:
        codes: uint8 ``(Z, Y, X)``, to the head, the back and the left; a value's position in the folder's table times
            two, and one more within the envelope. A layer of air lies around it.
        spacing_zyx_mm: of its voxels.
        centre_zyx_mm: middle of the brain, from the first voxel's centre.
    """

    codes: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    centre_zyx_mm: tuple[float, float, float]


@lru_cache(maxsize=MOST)
def read_map(path: Path, numbers: tuple[int, ...], stamp: tuple[int, ...]) -> LabelMap:
    """Read a map.

    Args:
        path: file.
        numbers: FreeSurfer's number of each value 0, 1, ...
        stamp: of the file, see `stamp_of`; a changed file is another one.

    Raises:
        DatasetError: it holds other values, or no brain.
        InputError: it cannot be read.
    """
    stored, ijk_to_lps = read_label_map(path)
    volume = Volume(np.zeros(stored.shape, dtype=np.float32), ijk_to_lps, name=path.name)
    order = canonical_reorientation(volume)
    values = np.asarray(order.apply(stored))
    if values.min() < 0 or values.max() >= len(numbers):
        raise DatasetError(
            f"the label map holds values that labels.json does not name ({int(values.min())} to {int(values.max())})",
            file=path,
            remedy="Name them, or remove them",
        )
    values = np.pad(values.astype(np.uint8), 1)
    brain = np.array([is_brain(number) for number in numbers])[values]
    if not brain.any():
        raise DatasetError("the label map shows no brain", file=path, remedy="Leave it out")
    spacing = order.spacing_zyx_mm(volume)
    middle = np.argwhere(brain).mean(axis=0) * spacing
    z, y, x = (float(v) for v in middle)
    return LabelMap(2 * values + envelope(brain, spacing), spacing, (z, y, x))


def stamp_of(path: Path) -> tuple[int, ...]:
    """Size and times of a file."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def envelope(brain: NDArray[np.bool_], spacing_zyx_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The brain with its furrows, as skull stripping leaves it: closed by a ball.

    Args:
        brain: ``(Z, Y, X)``.
        spacing_zyx_mm: voxel size.

    Returns:
        uint8 ``(Z, Y, X)``, 1 within.
    """
    margin = [int(np.ceil(2 * ENVELOPE_MM / mm)) + 1 for mm in spacing_zyx_mm]
    corners = np.argwhere(brain)
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    inner = np.pad(brain[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], [(m, m) for m in margin])
    grown = _distance_mm(inner, spacing_zyx_mm) <= ENVELOPE_MM
    closed = _distance_mm(~grown, spacing_zyx_mm) > ENVELOPE_MM
    cut = closed[tuple(slice(m, -m) for m in margin)]
    result = np.zeros(brain.shape, dtype=np.uint8)
    result[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = cut
    return result | brain.astype(np.uint8)


def _distance_mm(mask: NDArray[np.bool_], spacing_zyx_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Of each voxel to the nearest one of a mask; within it 0 or less."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_zyx_mm[::-1])
    far = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(far)
