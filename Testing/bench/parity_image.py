"""Images that are made of an image for the comparison with nnU-Net: turned, small, of one value, empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

# Voxels along each axis: less than any patch has.
SMALL = (9, 11, 7)
VALUE = 100
ANGLE = 0.35


def turned(image: sitk.Image) -> sitk.Image:
    """Another order of the axes, one of them run backwards, and oblique in the world; a picture is turned alone."""
    if image.GetDimension() == 2:
        return sitk.Flip(sitk.PermuteAxes(image, (1, 0)), (True, False))
    found = sitk.Flip(sitk.PermuteAxes(image, (2, 0, 1)), (False, True, False))
    sine, cosine = np.sin(ANGLE), np.cos(ANGLE)
    tilt = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    found.SetDirection((tilt @ np.array(found.GetDirection()).reshape(3, 3)).ravel().tolist())
    return found


def small(image: sitk.Image) -> sitk.Image:
    """The middle of it, smaller than a patch."""
    sides = [min(side, own) for side, own in zip(SMALL, image.GetSize(), strict=False)]
    first = [(own - side) // 2 for side, own in zip(sides, image.GetSize(), strict=True)]
    return sitk.RegionOfInterest(image, sides, first)


def constant(image: sitk.Image) -> sitk.Image:
    """One value everywhere."""
    return image * 0 + VALUE


def empty(image: sitk.Image) -> sitk.Image:
    """Zeros."""
    return image * 0


MADE: dict[str, Callable[[sitk.Image], sitk.Image]] = {
    "turned": turned,
    "small": small,
    "constant": constant,
    "empty": empty,
}


def written(kind: str, channels: Sequence[Path], folder: Path) -> list[Path]:
    """Make every channel of an image what the kind says and write it to a folder; the files.

    Args:
        kind: of `MADE`.
        channels: files of the channels.
        folder: where to; names of files stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for channel in channels:
        image = sitk.ReadImage(str(channel))
        sitk.WriteImage(sitk.Cast(MADE[kind](image), image.GetPixelID()), str(folder / channel.name))
        files.append(folder / channel.name)
    return files
