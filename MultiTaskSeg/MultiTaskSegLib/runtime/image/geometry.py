"""Lossless reorientation: which stored axis becomes canonical X, Y, Z, and which of them are flipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume

# Slices at least this much thicker than the pixels mark an acquisition plane (nnU-Net's anisotropy threshold):
# the through-plane axis then stays Z however oblique the scan is, because the network treats Z differently.
ANISOTROPY_THRESHOLD = 3.0
# Spacings that differ by less are the same: matrices of headers are rounded, and those of tilted or turned copies of an
# image differ in their last digits. Slices of 3 mm over pixels of 1 mm would be thick in one copy and not in another.
SPACING_TOLERANCE = 1e-4

LEFT, POSTERIOR, SUPERIOR = 0, 1, 2
# By the body axis across the slices: body axis and sign of canonical X, Y and Z. These are the frames of DICOM's axial,
# coronal and sagittal pictures, rows from the top: a NIfTI slice and a picture of it are the same array. All are
# right-handed, so that nothing is ever mirrored.
FRAMES = {
    SUPERIOR: ((LEFT, 1), (POSTERIOR, 1), (SUPERIOR, 1)),
    POSTERIOR: ((LEFT, 1), (SUPERIOR, -1), (POSTERIOR, 1)),
    LEFT: ((POSTERIOR, 1), (SUPERIOR, -1), (LEFT, -1)),
}

# Letters of the sides that body axes run to, forwards (1) and backwards (-1).
SIDES = {LEFT: {1: "L", -1: "R"}, POSTERIOR: {1: "P", -1: "A"}, SUPERIOR: {1: "S", -1: "I"}}


@dataclass(frozen=True)
class Reorientation:
    """A permutation and flips between a stored array and the canonical one. Exactly invertible.

    Attributes:
        axes: for canonical array axes (Z, Y, X), the stored array axis each one is taken from.
        flips: for canonical array axes (Z, Y, X), whether the axis runs backwards.
        across: the body axis across the slices, or along which canonical Z runs: one of `FRAMES`.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    across: int = SUPERIOR

    @property
    def orientation(self) -> str:
        """Where canonical X, Y and Z run to, or nearly so: ``LPS`` is to the left, to the back and up.

        >>> Reorientation((1, 0, 2), (False, False, False), POSTERIOR).orientation
        'LIP'
        """
        return "".join(SIDES[body][sign] for body, sign in FRAMES[self.across])

    @property
    def is_identity(self) -> bool:
        """Whether the stored array is the canonical one."""
        return self.axes == (0, 1, 2) and not any(self.flips)

    def apply(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Stored ``(Z, Y, X)`` array to canonical ``(Z, Y, X)``, as a view."""
        turned = np.transpose(array, self.axes)
        return turned[self._slices()]

    def invert(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Canonical ``(Z, Y, X)`` array back to the stored order, as a view."""
        inverse = np.argsort(self.axes)
        return np.transpose(array[self._slices()], inverse)

    def spacing_zyx_mm(self, volume: Volume) -> tuple[float, float, float]:
        """Voxel size of the canonical array along Z, Y, X in millimetres."""
        stored_zyx_mm = volume.spacing_mm[::-1]
        z, y, x = (stored_zyx_mm[axis] for axis in self.axes)
        return z, y, x

    def _slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(None, None, -1) if flip else slice(None) for flip in self.flips)
        return z, y, x


def canonical_reorientation(volume: Volume) -> Reorientation:
    """The reorientation to the array that the network sees.

    Without an acquisition plane the axes run closest to left, posterior and superior (LPS). A scan with thick slices,
    and a 2-D image, keep their through-plane axis as Z, and the plane lies as a picture of it is shown: see `FRAMES`.
    The rule looks only at the geometry, and at each stored axis by the body axis that it lies along, so an image stored
    with permuted or flipped axes, or tilted by a little, ends up as the same canonical array.
    """
    direction = volume.ijk_to_lps[:3, :3] / np.asarray(volume.spacing_mm)
    stored_along = volume.stored_along
    through_plane = _through_plane_axis(volume)
    across = SUPERIOR if through_plane is None else stored_along.index(through_plane)
    frame = FRAMES[across]
    stored = [stored_along[body] for body, _ in frame]
    flips = [bool(direction[body, axis] * sign < 0) for axis, (body, sign) in zip(stored, frame, strict=True)]
    z, y, x = (2 - axis for axis in reversed(stored))
    return Reorientation((z, y, x), (flips[2], flips[1], flips[0]), across)


def _through_plane_axis(volume: Volume) -> int | None:
    """The ijk axis across slices, or None for a volume without an acquisition plane."""
    if volume.is_planar:
        return volume.across_slice
    spacing = np.asarray(volume.spacing_mm)
    thick = int(np.argmax(spacing))
    others = np.delete(spacing, thick)
    return thick if spacing[thick] >= ANISOTROPY_THRESHOLD * (1 - SPACING_TOLERANCE) * others.max() else None
