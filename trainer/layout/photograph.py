"""Colour pictures as one grey channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.picture_header import turning_matrix, viewer_orientation
from MultiTaskSegLib.runtime.image.image_file import IMAGE_IO, image_ending, picture_pixels, read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.pixel.block_ringing import without_ringing
from trainer.layout.case import FILES, Case, LabelMap

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
# Luma of ITU-R BT.601, what "grey scale" means in picture programs.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class PhotographReader:
    """Reads the image of a case as grey; a colour picture becomes its luma, transparency is ignored."""

    def files(self, case: Case) -> tuple[Path, ...]:
        """Picture and label file."""
        return FILES.files(case)

    def image(self, case: Case) -> Volume:
        """The picture, or any other image file.

        Raises:
            InputError: the file cannot be read.
        """
        ending = image_ending(case.image)
        if ending not in PICTURE_ENDINGS or not case.image.is_file() or case.image.stat().st_size == 0:
            return read_image(case.image)
        pixels = picture_pixels(case.image, IMAGE_IO[ending]).pixels
        if pixels.ndim == 3:
            return read_image(case.image)
        if pixels.shape[-1] not in (2, 3, 4):
            raise InputError(
                f"the picture holds {pixels.shape[-1]} values per pixel", file=case.image, remedy="Save it as RGB"
            )
        colours = pixels[..., :3].astype(np.float32)
        # Colour by colour: in a product of matrices a pixel's last bit depends on its place in the picture.
        grey = sum(colours[..., k] * LUMA[k] for k in range(3)) if pixels.shape[-1] > 2 else colours[..., 0]
        if ending != ".png":
            grey = without_ringing(grey)
        rows, columns = grey.shape[1:]
        turned = turning_matrix(viewer_orientation(case.image), columns, rows)
        return Volume(np.ascontiguousarray(grey), turned, name=case.image.name)

    def labels(self, case: Case) -> LabelMap:
        """As `FileReader`; without a label file nothing is labelled."""
        if case.label is not None:
            return FILES.labels(case)
        volume = self.image(case)
        return np.zeros(volume.shape, dtype=np.int32), volume.ijk_to_lps
