"""How much memory the preparation of a case takes, known from the header of its image."""

from __future__ import annotations

import math
from pathlib import Path

import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.image_file import IMAGE_IO, image_ending
from MultiTaskSegLib.runtime.image.profile import MAX_UPSAMPLED_VOXELS, MAX_UPSAMPLING
from MultiTaskSegLib.runtime.machine.native_output import captured_native_output
from trainer.layout.case import Case

# Measured on volumes of 27 million voxels: 13 to 18, by type of the file and by how much the grid changes.
BYTES_PER_VOXEL = 20


def preparation_bytes(case: Case) -> int:
    """An upper bound of what reading a case and bringing it onto a network's grid takes.

    0 where the header cannot be read: reading the image will say what is wrong.
    """
    stored = _stored_voxels(case.image)
    upsampled = min(stored * int(MAX_UPSAMPLING) ** 3, MAX_UPSAMPLED_VOXELS)
    return BYTES_PER_VOXEL * max(stored, upsampled)


def _stored_voxels(path: Path) -> int:
    """Voxels of an image file, or of all files in a DICOM folder."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if not files:
        return 0
    reader = sitk.ImageFileReader()
    try:
        with captured_native_output():
            reader.SetFileName(str(files[0]))
            reader.SetImageIO(IMAGE_IO.get(image_ending(files[0]), IMAGE_IO[".dcm"]))
            reader.ReadImageInformation()
            return int(math.prod(reader.GetSize())) * len(files)
    except RuntimeError:
        return 0
