"""Comparison of a result with another segmentation, structure by structure, as columns of the result's table."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.mask_overlap import mask_overlap
from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, TABLE_ROLE
from MultiTaskSegLib.scene.node.measured_column import empty_cells, note_measured
from MultiTaskSegLib.scene.node.segment_print import segment_prints
from MultiTaskSegLib.scene.node.table_column import add_numbers
from MultiTaskSegLib.scene.result_table import SEGMENT_ID, rows_of
from MultiTaskSegLib.scene.segmentation import add_segmentation
from MultiTaskSegLib.scene.volume import picture_ending, to_world_of, world_spacing_mm

DICE, HAUSDORFF, SURFACE_DICE = "Dice with reference", "HD95 [mm]", "Surface Dice"
COLUMNS = (DICE, HAUSDORFF, SURFACE_DICE)
TOLERANCE_MM = 1.0
REFERENCE_ROLE, COMPARED, PLACES = "MultiTaskSeg.Reference", "MultiTaskSeg.Compared", "MultiTaskSeg.ComparedPlaces"
"""Of a table: the segmentation that was compared with; by segment its counterpart with its fingerprint, and `_places`,
both as JSON."""
PLACE_TOLERANCE = 1e-4  # of axes, and in millimetres
ONLY_RESULT, ONLY_REFERENCE, BOTH = "only in the result", "only in the reference", "in both"
COLOURS = {ONLY_RESULT: (214, 110, 30), ONLY_REFERENCE: (40, 110, 200), BOTH: (70, 150, 70)}
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Of one structure.

    Attributes:
        segment_id: in the result.
        dice: with the reference; NaN where neither has a voxel.
        hausdorff95_mm: NaN where one has none, and of a picture, which has no size in millimetres.
        surface_dice: at a tolerance; NaN where neither has a voxel, and of a picture.
    """

    segment_id: str
    dice: float
    hausdorff95_mm: float
    surface_dice: float


def compare(
    result: slicer.vtkMRMLSegmentationNode,
    reference: slicer.vtkMRMLSegmentationNode,
    tolerance_mm: float = TOLERANCE_MM,
) -> list[Agreement]:
    """Compare the structures of a result with those of the same name in another segmentation.

    The figures become columns of the result's table, beside the expected Dice.

    Args:
        result: of MultiTaskSeg, whose volume is in the scene.
        reference: on any grid; it is brought onto that of the volume. Names are compared without regard to capitals,
            underscores and blanks around them.
        tolerance_mm: of the surface Dice.

    Raises:
        InputError: the volume or the table is missing, or no structure has the same name.
    """
    volume, table = result.GetNodeReference(INPUT_ROLE), result.GetNodeReference(TABLE_ROLE)
    if volume is None or table is None:
        raise InputError("the result has lost its volume or table", file=result.GetName(), remedy="Segment it again")
    pairs = _pairs(result, reference)
    spacing_zyx_mm = None if picture_ending(volume) else world_spacing_mm(volume)[::-1]
    found = {
        own: _agreement(own, _mask(result, own, volume), _mask(reference, other, volume), spacing_zyx_mm, tolerance_mm)
        for own, other in pairs.items()
    }
    values = {
        DICE: {own: one.dice for own, one in found.items()},
        HAUSDORFF: {own: one.hausdorff95_mm for own, one in found.items()},
        SURFACE_DICE: {own: one.surface_dice for own, one in found.items()},
    }
    for column in (column for column in COLUMNS if table.GetColumnIndex(column) >= 0):
        table.RemoveColumn(table.GetColumnIndex(column))
    for column, by_segment in values.items():
        add_numbers(table, column, [by_segment.get(row.segment_id) for row in rows_of(table)])
        table.SetColumnDescription(column, f"Of {reference.GetName()}; surface Dice within {tolerance_mm:g} mm")
    note_measured(table, COLUMNS, result, volume)
    prints = segment_prints(reference, volume)
    table.SetNodeReferenceID(REFERENCE_ROLE, reference.GetID())
    table.SetAttribute(COMPARED, json.dumps({own: [other, prints[other]] for own, other in pairs.items()}))
    table.SetAttribute(PLACES, json.dumps(_places(result, reference, volume)))
    table.Modified()
    return list(found.values())


def compared_with(reference: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkMRMLSegmentationNode]:
    """The results whose tables say how far they agree with a segmentation."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", reference.GetScene())
    tables = {node: node.GetNodeReference(TABLE_ROLE) for node in nodes}
    return [
        node
        for node, table in tables.items()
        if table is not None and table.GetNodeReferenceID(REFERENCE_ROLE) == reference.GetID()
    ]


def is_compared(result: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether the table of a segmentation, if it has one, says how far it agrees with another."""
    table = result.GetNodeReference(TABLE_ROLE)
    return table is not None and table.GetNodeReferenceID(REFERENCE_ROLE) is not None


def clear_outdated_comparison(result: slicer.vtkMRMLSegmentationNode) -> None:
    """Leave out how far structures agree with such of the reference as were changed or removed since, and how far all
    do where one of both was moved by a linear transform.

    Where the reference itself is gone, the figures stay: they are true of what it was.
    """
    volume, table = result.GetNodeReference(INPUT_ROLE), result.GetNodeReference(TABLE_ROLE)
    reference = None if table is None else table.GetNodeReference(REFERENCE_ROLE)
    if volume is None or reference is None:
        return
    noted = json.loads(table.GetAttribute(COMPARED) or "{}")
    if not noted:
        return
    places, now = json.loads(table.GetAttribute(PLACES) or "null"), _places(result, reference, volume)
    is_known = places is not None and now is not None
    is_moved = is_known and not np.allclose(np.array(places), np.array(now), rtol=0.0, atol=PLACE_TOLERANCE)
    prints = {} if is_moved else segment_prints(reference, volume)
    outdated = [own for own, (other, made) in noted.items() if prints.get(other) != made]
    if outdated:
        empty_cells(table, SEGMENT_ID, COLUMNS, outdated)
        table.SetAttribute(COMPARED, json.dumps({own: one for own, one in noted.items() if own not in outdated}))
        table.Modified()


def add_difference(
    result: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLSegmentationNode, segment_id: str
) -> slicer.vtkMRMLSegmentationNode:
    """Add a segmentation that shows where a structure is in the result alone, in the reference alone, and in both.

    Raises:
        InputError: as `compare`, or the reference has no such structure.
    """
    volume, pairs = result.GetNodeReference(INPUT_ROLE), _pairs(result, reference)
    if volume is None or segment_id not in pairs:
        raise InputError("the reference has no such structure", file=segment_id, remedy="Choose one that both have")
    own, other = _mask(result, segment_id, volume), _mask(reference, pairs[segment_id], volume)
    labels = np.select([own & other, own, other], [3, 1, 2]).astype(np.uint8)
    legend = [
        {"value": value, "name": name, "display_name": name, "colour": COLOURS[name], "terminology": ""}
        for value, name in ((1, ONLY_RESULT), (2, ONLY_REFERENCE), (3, BOTH))
    ]
    name = result.GetSegmentation().GetSegment(segment_id).GetName()
    scene = volume.GetScene()
    return add_segmentation(volume, labels, legend, scene.GenerateUniqueName(f"{name}: result and reference"))


def _places(
    result: slicer.vtkMRMLSegmentationNode,
    reference: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> list[list[list[float]]] | None:
    """Matrices from the millimetres of both segmentations to those of the volume, through their parent transforms; None
    where one of these is not linear."""
    try:
        to_volume = np.linalg.inv(to_world_of(volume))
        return [(to_volume @ to_world_of(node)).tolist() for node in (result, reference)]
    except InputError:
        return None


def _pairs(result: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """By the segment of the result, that of the reference with its name or its identifier."""
    names, there = dict(_names(result)), _names(reference)
    by_name: dict[str, str] = {}
    for segment_id, name in there:
        by_name.setdefault(_plain(name), segment_id)
    # Identifiers outlive a new name, which says more: of two segments whose names were swapped, for example.
    by_identifier = {_plain(segment_id): segment_id for segment_id, _ in there}
    pairs: dict[str, str] = {}
    for table in (by_name, by_identifier):
        for segment_id, name in names.items():
            other = table.get(_plain(name), table.get(_plain(segment_id)))
            if other is not None and segment_id not in pairs and (table is by_name or other not in pairs.values()):
                pairs[segment_id] = other
    if not pairs:
        known = ", ".join(name for _, name in there) or "none"
        raise InputError(
            f"no structure of the reference has a name of the result's (there: {known})",
            file=reference.GetName(),
            remedy=f"Rename its segments, for example to {next(iter(names.values()), 'those of the result')}",
        )
    return pairs


def _names(node: slicer.vtkMRMLSegmentationNode) -> list[tuple[str, str]]:
    segmentation = node.GetSegmentation()
    identifiers = [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())]
    return [(segment_id, segmentation.GetSegment(segment_id).GetName()) for segment_id in identifiers]


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").strip()


def _mask(node: slicer.vtkMRMLSegmentationNode, segment_id: str, volume: slicer.vtkMRMLScalarVolumeNode) -> Mask:
    found: NDArray[np.integer] = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    return found > 0


def _agreement(
    segment_id: str, own: Mask, other: Mask, spacing_zyx_mm: tuple[float, float, float] | None, tolerance_mm: float
) -> Agreement:
    # Late: scipy takes time to load, and Slicer loads this module when it starts.
    from MultiTaskSegLib.runtime.agreement.surface_distance import surface_distances

    dice = mask_overlap(own, other).dice
    if spacing_zyx_mm is None:
        return Agreement(segment_id, dice, float("nan"), float("nan"))
    distances = surface_distances(own, other, spacing_zyx_mm)
    return Agreement(segment_id, dice, distances.hausdorff95_mm, distances.surface_dice(tolerance_mm))
