"""How an image lies on the network's grid: orientation, the part that is not air, voxel size, and the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.image.content_window import Window, shared_window
from MultiTaskSegLib.runtime.image.geometry import SPACING_TOLERANCE, Reorientation, canonical_reorientation
from MultiTaskSegLib.runtime.image.profile import Profile, Spacing, Triple
from MultiTaskSegLib.runtime.image.volume import Measured, Volume

MAX_REDUCTION = 8.0
"""By how much voxels may be smaller than wanted along every axis without a word: scans differ by less."""


@dataclass(frozen=True)
class InputFrame:
    """The one record of what was done to an image's grid: preparation, memory estimate, cautions, verdict and report
    read it.

    Attributes:
        reorientation: from the stored to the canonical array.
        window: the part of the canonical array that is not air.
        spacing_zyx_mm: voxel size of the canonical array.
        grid_shape: ``(Z, Y, X)`` of the network's grid.
        reached_spacing_zyx_mm: voxel size on that grid, but for the rounding to whole voxels: what the network saw.
        wanted_spacing_zyx_mm: voxel size that the profile asks for; None where it asks for a number of pixels.
        measured: what of the image's grid has a size that is known; the spacings of the rest are proportions.
    """

    reorientation: Reorientation
    window: Window
    spacing_zyx_mm: Spacing
    grid_shape: Triple
    reached_spacing_zyx_mm: Spacing
    wanted_spacing_zyx_mm: Spacing | None
    measured: Measured = "voxel"

    @property
    def is_coarse(self) -> bool:
        """Whether along some axis the voxels are so much larger than wanted that resampling stopped short."""
        if self.wanted_spacing_zyx_mm is None or self.measured == "nothing":
            return False
        ratios = np.asarray(self.reached_spacing_zyx_mm) / np.asarray(self.wanted_spacing_zyx_mm)
        return bool(ratios.max() > 1 + SPACING_TOLERANCE)

    @property
    def is_fine(self) -> bool:
        """Whether along every axis the voxels are so much smaller than wanted that the voxel size may be wrong."""
        if self.wanted_spacing_zyx_mm is None or self.measured == "nothing":
            return False
        ratios = np.asarray(self.wanted_spacing_zyx_mm) / np.asarray(self.spacing_zyx_mm)
        return bool(ratios.min() > MAX_REDUCTION)

    def as_dict(self) -> dict[str, Any]:
        """Plain values as in ``report.json``, along X, Y, Z."""
        return {
            "orientation": self.reorientation.orientation,
            "size": list(reversed(self.grid_shape)),
            "spacing_mm": self._measured_xyz_mm(self.reached_spacing_zyx_mm),
            "image_spacing_mm": self._measured_xyz_mm(self.spacing_zyx_mm),
            "trained_spacing_mm": self.wanted_spacing_zyx_mm and list(reversed(self.wanted_spacing_zyx_mm)),
        }

    def _measured_xyz_mm(self, spacing_zyx_mm: Spacing) -> list[float | None] | None:
        """None where nothing is known."""
        z, y, x = spacing_zyx_mm
        return None if self.measured == "nothing" else [x, y, z if self.measured == "voxel" else None]


def input_frame(volume: Volume, profile: Profile) -> InputFrame:
    """How ``profile`` brings a volume onto the network's grid.

    A part of an image gets voxels of the size that the whole of it has there: scaled to the network's own number of
    pixels, a part of a picture would be magnified.
    """
    reorientation = canonical_reorientation(volume)
    spacing_zyx_mm = reorientation.spacing_zyx_mm(volume)
    arrays = [np.asarray(reorientation.apply(channel)) for channel in volume.channels]
    window = shared_window(arrays, profile.air(volume.whole or volume))
    # Where the size of the voxels does not depend on how large an image is, nobody looks at the whole of it.
    sized = (
        window.shape
        if volume.whole is None or profile.matrix is None
        else input_frame(volume.whole, profile).window.shape
    )
    reached = profile.reached_spacing_zyx_mm(sized, spacing_zyx_mm)
    return InputFrame(
        reorientation,
        window,
        spacing_zyx_mm,
        profile.grid_shape(window.shape, spacing_zyx_mm, reached),
        reached,
        profile.spacing_zyx_mm,
        volume.measured,
    )
