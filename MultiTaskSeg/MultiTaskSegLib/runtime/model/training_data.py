"""What a model file says of the images that a task was learnt from: who made them, who may use them, what they show."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]
"""Smallest and largest."""


@dataclass(frozen=True)
class ImageSizes:
    """How large images are, along the axes of the body (z to the head, y to the back, x to the left).

    Attributes:
        images: number of images looked at.
        voxels_zyx: smallest and largest number of voxels along each axis.
        spacing_zyx_mm: smallest and largest size of a voxel; None where the files state no size.
    """

    images: int
    voxels_zyx: tuple[Range, Range, Range]
    spacing_zyx_mm: tuple[Range, Range, Range] | None = None

    def text(self) -> str:
        """For people.

        >>> ImageSizes(9, ((10, 20), (64, 64), (64, 64)), ((5.0, 6.0), (1.0, 1.0), (1.0, 1.0))).text()
        '10-20 x 64 x 64 voxels of 5-6 x 1 x 1 mm (z, y, x; 9 images looked at)'
        """
        voxels = " x ".join(map(_range_text, self.voxels_zyx))
        if self.spacing_zyx_mm is None:
            return f"{voxels} pixels of unknown size (z, y, x; {self.images} images looked at)"
        size = " x ".join(map(_range_text, self.spacing_zyx_mm))
        return f"{voxels} voxels of {size} mm (z, y, x; {self.images} images looked at)"


@dataclass(frozen=True)
class TrainingData:
    """Where a task's images come from and what they are like. An empty text means: not known.

    Attributes:
        reference: whom to cite.
        released_weights_may_use: whether weights that learnt from them may be passed on; None: nobody has said so.
        description: of the images.
        field_of_view: what of the body they show, and whether they were cropped.
        scanners: makers, models and field strengths.
        ages: of the people (or animals) shown.
        sizes: None in files of earlier versions.
    """

    reference: str = ""
    released_weights_may_use: bool | None = None
    description: str = ""
    field_of_view: str = ""
    scanners: str = ""
    ages: str = ""
    sizes: ImageSizes | None = None


def _range_text(limits: Range) -> str:
    low, high = (f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in limits)
    return low if low == high else f"{low}-{high}"
