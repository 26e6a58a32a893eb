"""Columns of measurements in the table of a result hold for the voxels that were measured, and for no others."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

import slicer

from MultiTaskSegLib.scene.node.segment_print import segment_prints

MEASURED = "MultiTaskSeg.Measured"
"""Attribute of a table: by column, fingerprints of the segments that were measured, as JSON."""


def note_measured(
    table: slicer.vtkMRMLTableNode,
    columns: Iterable[str],
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
) -> None:
    """Note of which voxels columns tell; of none where there is no volume on whose grid they could be compared."""
    prints = {} if volume_node is None else segment_prints(segmentation_node, volume_node)
    _write(table, {**_noted(table), **dict.fromkeys(columns, prints)})


def clear_outdated(
    table: slicer.vtkMRMLTableNode,
    segment_ids: str,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Leave out what was measured of segments whose voxels are others since; measuring again brings it back.

    Args:
        table: of a result.
        segment_ids: title of the column with the ID of each row's segment.
        segmentation_node: with the segments.
        volume_node: on whose grid their voxels are compared.
    """
    noted = _noted(table)
    if not noted:
        return
    now = segment_prints(segmentation_node, volume_node)
    for column, prints in noted.items():
        outdated = [one for one, made in prints.items() if now.get(one) != made]
        empty_cells(table, segment_ids, [column], outdated)
        for one in outdated:
            del prints[one]
    _write(table, noted)
    table.Modified()


def empty_cells(
    table: slicer.vtkMRMLTableNode, segment_ids: str, columns: Iterable[str], segments: Collection[str]
) -> None:
    """Leave out what columns, as far as the table has them, say of segments.

    Args:
        table: of a result.
        segment_ids: title of the column with the ID of each row's segment.
        columns: titles.
        segments: their IDs.
    """
    ids = table.GetTable().GetColumnByName(segment_ids)
    for values in filter(None, map(table.GetTable().GetColumnByName, columns)):
        for row in (row for row in range(ids.GetNumberOfValues()) if ids.GetValue(row) in segments):
            values.SetValue(row, float("nan"))


def _noted(table: slicer.vtkMRMLTableNode) -> dict[str, dict[str, str]]:
    """By column that the table still has."""
    noted = json.loads(table.GetAttribute(MEASURED) or "{}")
    return {column: dict(prints) for column, prints in noted.items() if table.GetColumnIndex(column) >= 0}


def _write(table: slicer.vtkMRMLTableNode, noted: Mapping[str, Mapping[str, str]]) -> None:
    if noted:
        table.SetAttribute(MEASURED, json.dumps(noted))
    else:
        table.RemoveAttribute(MEASURED)
