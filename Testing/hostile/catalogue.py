"""Every broken image, by name."""

from __future__ import annotations

from Testing.hostile.broken_dicom import broken_dicom
from Testing.hostile.broken_image import BrokenImage
from Testing.hostile.broken_nifti import broken_nifti
from Testing.hostile.broken_raster import broken_raster


def broken_images() -> list[BrokenImage]:
    """All kinds of all formats."""
    return [*broken_nifti(), *broken_raster(), *broken_dicom()]
