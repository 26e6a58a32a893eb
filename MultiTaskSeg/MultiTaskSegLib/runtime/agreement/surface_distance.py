"""Distances between the surfaces of two masks, at the middles of the voxels that form them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceDistances:
    """From each surface voxel of one mask to the nearest of the other.

    Attributes:
        from_marked_mm: float64 ``(N,)``, of the mask that is judged.
        from_truth_mm: float64 ``(M,)``, of the reference.
    """

    from_marked_mm: NDArray[np.float64]
    from_truth_mm: NDArray[np.float64]

    @property
    def hausdorff95_mm(self) -> float:
        """The larger of the two 95th percentiles (Maier-Hein et al., *Nature Methods* 21, 2024, HD95); NaN when a mask
        is empty."""
        if not (self.from_marked_mm.size and self.from_truth_mm.size):
            return float("nan")
        return max(float(np.percentile(found, PERCENTILE)) for found in (self.from_marked_mm, self.from_truth_mm))

    @property
    def mean_mm(self) -> float:
        """Mean over the surface voxels of both masks (ASSD, the average symmetric surface distance: Maier-Hein et al.,
        *Nature Methods* 21, 2024); NaN when a mask is empty."""
        if not (self.from_marked_mm.size and self.from_truth_mm.size):
            return float("nan")
        return float(np.concatenate([self.from_marked_mm, self.from_truth_mm]).mean())

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies within a tolerance of the other (Nikolov et al., *JMIR* 23(7), 2021), each
        surface voxel counting alike; 0 when one mask is empty, NaN when both are."""
        total = self.from_marked_mm.size + self.from_truth_mm.size
        near = sum(int((found <= tolerance_mm).sum()) for found in (self.from_marked_mm, self.from_truth_mm))
        return near / total if total else float("nan")


def surface_distances(
    marked: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_zyx_mm: tuple[float, float, float]
) -> SurfaceDistances:
    """Compare two masks ``(Z, Y, X)`` of the same shape; where one is empty, distances from the other are infinite."""
    either = marked | truth
    if not either.any():
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing)
    box = ndimage.find_objects(either.astype(np.int8))[0]
    surfaces = [_surface(np.pad(mask[box], 1)) for mask in (marked, truth)]
    ways = [_distance_to(surface, spacing_zyx_mm) for surface in surfaces]
    return SurfaceDistances(ways[1][surfaces[0]], ways[0][surfaces[1]])


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a mask with a face to the outside; along an axis of one voxel there is none."""
    flat = [count <= 3 for count in mask.shape]
    structure = ndimage.generate_binary_structure(3, 1)
    for axis, is_flat in enumerate(flat):
        if is_flat and sum(flat) == 1:
            structure = structure & (np.indices((3, 3, 3))[axis] == 1)
    surface: NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask, structure)
    return surface


def _distance_to(surface: NDArray[np.bool_], spacing_zyx_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    if not surface.any():
        return np.full(surface.shape, np.inf)
    found: NDArray[np.float64] = ndimage.distance_transform_edt(~surface, sampling=spacing_zyx_mm)
    return found
