"""How much memory the preparation of a case takes, known from the header of its image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import IMAGE_IO, image_ending
from MultiTaskSegLib.runtime.image.profile import MAX_UPSAMPLING, Profile
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from trainer.layout.case import Case

# Measured on volumes of 27 million voxels: 13 to 18, by type of the file and by how much the grid changes.
BYTES_PER_VOXEL = 20


@dataclass(frozen=True)
class _Header:
    """Number of voxels, and their size in millimetres along each axis."""

    voxels: int
    spacing_mm: tuple[float, ...]


def preparation_bytes(case: Case, profile: Profile) -> int:
    """An upper bound of what reading a case and bringing it onto the profile's grid takes.

    0 where the header cannot be read: reading the image will say what is wrong.
    """
    header = _header(case.image)
    own = BYTES_PER_VOXEL * max(header.voxels, round(header.voxels * _growth(header, profile)))
    return own * (1 + len(case.further))


def reading_bytes(case: Case) -> int:
    """An upper bound of what reading image and label of a case and comparing them takes.

    0 where the header cannot be read, as for `preparation_bytes`.
    """
    return BYTES_PER_VOXEL * _header(case.image).voxels * (1 + len(case.further))


def _growth(header: _Header, profile: Profile) -> float:
    """How many voxels of the grid there are for one of the file, at most: which axis becomes which is not known."""
    if profile.spacing_zyx_mm is None:
        assert profile.matrix is not None
        return profile.matrix**2 / max(1, header.voxels)
    wanted = profile.spacing_zyx_mm
    return max(
        math.prod(min(have / want, MAX_UPSAMPLING) for have, want in zip(order, wanted, strict=False))
        for order in permutations(header.spacing_mm)
    )


def _header(path: Path) -> _Header:
    """Of an image file, or of all files in a DICOM folder, whose spacing is that of one of them."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    nothing = _Header(0, (1.0, 1.0, 1.0))
    if not files:
        return nothing
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output():
            reader.SetFileName(str(files[0]))
            reader.SetImageIO(IMAGE_IO.get(image_ending(files[0]), IMAGE_IO[".dcm"]))
            reader.ReadImageInformation()
            spacing_mm = (*reader.GetSpacing()[:3], 1.0)[:3]
            return _Header(int(math.prod(reader.GetSize())) * len(files), spacing_mm)
    except RuntimeError:
        return nothing
