"""Where a result is most uncertain: connected regions of high uncertainty, and the worst place of a segment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.scene.volume import voxel_volume_mm3, world_ijk_to_ras

# Of the normalised entropy; with two classes the likelier one has 89 % there. Fixed, so that volumes and regions can be
# compared between images whatever the display shows.
HIGH_UNCERTAINTY = 0.5
MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class UncertainRegion:
    """One connected region whose uncertainty is at least `HIGH_UNCERTAINTY` everywhere.

    Attributes:
        volume_ml: its size, as far as the spacing can be relied on.
        place_ijk: index ``(i, j, k)`` of the voxel of the region whose neighbourhood is most uncertain.
        voxels: how many it has.
    """

    volume_ml: float
    place_ijk: tuple[int, int, int]
    voxels: int


def uncertain_regions(uncertainty: NDArray[np.float32], one_voxel_mm3: float) -> list[UncertainRegion]:
    """The regions of an uncertainty map ``(Z, Y, X)``, largest first; voxels touching at a corner are connected."""
    from scipy import ndimage  # not when Slicer starts

    high = uncertainty >= HIGH_UNCERTAINTY
    box = _bounding_box(high)
    if box is None:
        return []
    pieces, count = ndimage.label(high[box], structure=np.ones((3, 3, 3), dtype=bool))
    voxels = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    places = ndimage.maximum_position(_smoothed(uncertainty[box]), pieces, index=np.arange(1, count + 1))
    corner = [extent.start for extent in box]
    order = sorted(range(count), key=lambda number: -voxels[number])
    return [
        UncertainRegion(
            float(voxels[number] * one_voxel_mm3 / MM3_PER_ML),
            _ijk(np.add(places[number], corner)),
            int(voxels[number]),
        )
        for number in order
    ]


def regions_of(uncertainty_node: slicer.vtkMRMLScalarVolumeNode) -> list[UncertainRegion]:
    """The uncertain regions of a heatmap, largest first.

    Raises:
        InputError: a parent transform is not linear.
    """
    return uncertain_regions(slicer.util.arrayFromVolume(uncertainty_node), voxel_volume_mm3(uncertainty_node))


def most_uncertain_voxel(uncertainty: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Index ``(i, j, k)`` of the voxel of ``mask`` ``(Z, Y, X)`` with the most uncertain 3x3x3 neighbourhood.

    The neighbourhood, not the voxel alone: single voxels of the greatest uncertainty are everywhere. None for an empty
    mask.
    """
    box = _bounding_box(mask)
    if box is None:
        return None
    score = np.where(mask[box], _smoothed(uncertainty[box]), -1.0)
    place = np.unravel_index(int(np.argmax(score)), score.shape)
    return _ijk(np.add(place, [extent.start for extent in box]))


def most_uncertain_place(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    uncertainty_node: slicer.vtkMRMLScalarVolumeNode,
) -> NDArray[np.float64] | None:
    """RAS millimetres of the most uncertain place of a segment as it is now; None for an empty or missing segment."""
    if segmentation_node.GetSegmentation().GetSegment(segment_id) is None:
        return None
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, uncertainty_node)
    place_ijk = most_uncertain_voxel(slicer.util.arrayFromVolume(uncertainty_node), mask > 0)
    return None if place_ijk is None else place_ras(uncertainty_node, place_ijk)


def place_ras(volume_node: slicer.vtkMRMLScalarVolumeNode, place_ijk: tuple[int, int, int]) -> NDArray[np.float64]:
    """RAS millimetres in the world, that is after the parent transforms, of a voxel."""
    place: NDArray[np.float64] = (world_ijk_to_ras(volume_node) @ [*place_ijk, 1.0])[:3]
    return place


def jump_slices(scene: slicer.vtkMRMLScene, ras: NDArray[np.float64]) -> None:
    """Centre all slice views on a place, and put the crosshair there for whoever shows it."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)


def _smoothed(uncertainty: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy import ndimage

    smoothed: NDArray[np.float32] = ndimage.uniform_filter(uncertainty, size=3, mode="nearest")
    return smoothed


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """The mask and one voxel around it, so that neighbours count; labelling all of a large scan takes seconds."""
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not hits.size:
            return None
        box.append(slice(max(int(hits[0]) - 1, 0), int(hits[-1]) + 2))
    return tuple(box)


def _ijk(zyx: NDArray[np.int64]) -> tuple[int, int, int]:
    k, j, i = (int(index) for index in zyx)
    return i, j, k
