"""From a place of doubt into an editor: segment, image and place are taken along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.correction.editing_tool import ERASE, PAINT, SEGMENT_EDITOR, open_tool, tool_named
from MultiTaskSegLib.correction.segment_at_place import segment_at
from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, UNCERTAINTY_ROLE
from MultiTaskSegLib.scene.uncertain_region import UncertainRegion, jump_slices, most_uncertain_place, place_ras


@dataclass(frozen=True)
class Correction:
    """What an editor was opened with.

    Attributes:
        segment_id: of the segment that is selected there.
        effect: ``Paint``, or ``Erase`` where the place lies within the segment, so that it may be too much.
        place: RAS millimetres of the world at which the slice views look; None where there is no place of doubt.
    """

    segment_id: str
    effect: str
    place: NDArray[np.float64] | None


def correct(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    segment_id: str | None = None,
    region: UncertainRegion | None = None,
    tool: str = SEGMENT_EDITOR,
) -> Correction:
    """Open an editor with the segment and the place that are to be corrected.

    Args:
        segmentation_node: of a result.
        segment_id: of the segment; None for the one at the place.
        region: the uncertain region to look at; None for the most uncertain place of the segment.
        tool: module to do it in, of those that `present_tools` lists.

    Raises:
        UsageError: there is no such module or segment, or neither segment nor region is given.
        InputError: the image is gone, no segment is near the place, or a transform is not linear.
        ResourceError: the module cannot be told what to correct.
    """
    chosen = tool_named(tool)
    volume_node = segmentation_node.GetNodeReference(INPUT_ROLE)
    if volume_node is None:
        raise InputError(
            "the image of this segmentation is not in the scene", file=segmentation_node.GetName(), remedy="Load it"
        )
    correction = _planned(segmentation_node, segment_id, region)
    open_tool(chosen, segmentation_node, volume_node, correction.segment_id, correction.effect)
    if correction.place is not None:
        jump_slices(slicer.mrmlScene, correction.place)  # last: modules may move the views when they are opened
    return correction


def _planned(
    segmentation_node: slicer.vtkMRMLSegmentationNode, segment_id: str | None, region: UncertainRegion | None
) -> Correction:
    uncertainty = segmentation_node.GetNodeReference(UNCERTAINTY_ROLE)
    if segment_id is not None and segmentation_node.GetSegmentation().GetSegment(segment_id) is None:
        raise UsageError(f"there is no segment {segment_id!r}", file=segmentation_node.GetName())
    if region is not None and uncertainty is not None:
        place = place_ras(uncertainty, region.place_ijk)
    elif segment_id is None:
        raise UsageError("nothing to correct was chosen", remedy="Show an uncertain region, or choose a segment")
    else:
        place = None if uncertainty is None else most_uncertain_place(segmentation_node, segment_id, uncertainty)
    if place is None:
        return Correction(str(segment_id), PAINT, None)
    found, is_within = segment_at(segmentation_node, place)
    chosen = segment_id or found
    if chosen is None:
        raise InputError("no segment is near this place", file=segmentation_node.GetName(), remedy="Choose a segment")
    return Correction(chosen, ERASE if is_within and chosen == found else PAINT, place)
