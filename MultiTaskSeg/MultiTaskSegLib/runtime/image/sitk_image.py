"""Arrays on a volume's grid as SimpleITK images, and writing them atomically."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path


def to_sitk(array: NDArray[np.generic], volume: Volume) -> sitk.Image:
    """An array ``(Z, Y, X)`` with the volume's origin, spacing and direction (LPS)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(tuple(float(v) for v in volume.ijk_to_lps[:3, 3]))
    direction = volume.ijk_to_lps[:3, :3] / np.asarray(volume.spacing_mm)
    image.SetDirection(tuple(float(v) for v in direction.ravel()))
    return image


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image atomically, compressed.

    Raises:
        ResourceError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        try:
            # A path that is no text would end the process.
            name = str(temporary).encode("utf-8").decode("utf-8")
            sitk.WriteImage(image, name, useCompression=True)
        except (RuntimeError, UnicodeEncodeError) as error:
            raise ResourceError(
                "the image cannot be written", file=path, remedy="Check permissions and free disk space"
            ) from error
