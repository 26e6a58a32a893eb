"""The figures of each segment as a table node, which is saved with the scene and can be exported as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from MultiTaskSegLib.scene.placement import place_beside
from MultiTaskSegLib.scene.uncertain_region import HIGH_UNCERTAINTY, MM3_PER_ML

NAME, VOLUME, CONFIDENCE, DICE, UNCERTAIN, SEGMENT_ID = (
    "Segment",
    "Volume [mL]",
    "Mean confidence",
    "Predicted Dice",
    "Uncertain volume [mL]",
    "Segment ID",
)
FIGURES = (VOLUME, CONFIDENCE, DICE, UNCERTAIN)
DESCRIPTIONS = {
    VOLUME: "Volume of the segment in millilitres",
    CONFIDENCE: "Mean calibrated probability of the chosen label over the segment",
    DICE: "Dice coefficient to be expected of the segment",
    UNCERTAIN: f"Volume of the segment where the uncertainty is {HIGH_UNCERTAINTY} or more, in millilitres",
}


@dataclass(frozen=True)
class SegmentRow:
    """The figures of one segment; None where there is none to give.

    Attributes:
        segment_id: of the segment in the segmentation node.
        name: for people.
        volume_ml: 0 for a structure that was not found.
        mean_confidence: mean probability of the label over the segment, 0 to 1.
        predicted_dice: the Dice coefficient to expect, 0 to 1.
        uncertain_ml: volume of the segment with an uncertainty of at least `HIGH_UNCERTAINTY`.
    """

    segment_id: str
    name: str
    volume_ml: float
    mean_confidence: float | None
    predicted_dice: float | None
    uncertain_ml: float


def segment_rows(
    report: Mapping[str, Any],
    legend: Sequence[Mapping[str, Any]],
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.float32],
    voxel_volume_mm3: float,
) -> list[SegmentRow]:
    """One row per entry of ``legend``, from the report and the maps ``(Z, Y, X)``."""
    uncertain_voxels = np.bincount(labels[uncertainty >= HIGH_UNCERTAINTY], minlength=256)
    by_value = {entry["value"]: entry for entry in report.get("labels", [])}
    rows = []
    for entry in legend:
        figures = by_value.get(entry["value"], {})
        rows.append(
            SegmentRow(
                str(entry["name"]),
                str(entry["display_name"]),
                float(figures.get("volume_mm3", 0.0)) / MM3_PER_ML,
                figures.get("mean_confidence"),
                figures.get("predicted_dice"),
                float(uncertain_voxels[entry["value"]] * voxel_volume_mm3 / MM3_PER_ML),
            )
        )
    return rows


def add_table(volume_node: slicer.vtkMRMLVolumeNode, rows: Sequence[SegmentRow], name: str) -> slicer.vtkMRMLTableNode:
    """Add the rows to the scene of ``volume_node`` as a table node."""
    node = volume_node.GetScene().AddNewNodeByClass("vtkMRMLTableNode", name)
    _add_texts(node, NAME, [row.name for row in rows])
    _add_numbers(node, VOLUME, [row.volume_ml for row in rows])
    _add_numbers(node, CONFIDENCE, [row.mean_confidence for row in rows])
    _add_numbers(node, DICE, [row.predicted_dice for row in rows])
    _add_numbers(node, UNCERTAIN, [row.uncertain_ml for row in rows])
    _add_texts(node, SEGMENT_ID, [row.segment_id for row in rows])
    for column, description in DESCRIPTIONS.items():
        node.SetColumnDescription(column, description)
    node.SetLocked(True)  # figures of a run, not to be edited by a stray key
    place_beside(volume_node, node)
    return node


def rows_of(table_node: slicer.vtkMRMLTableNode) -> list[SegmentRow]:
    """The rows of a table that `add_table` made, also after it has been saved and loaded."""
    table = table_node.GetTable()
    columns = {name: table.GetColumnByName(name) for name in (NAME, *FIGURES, SEGMENT_ID)}
    if None in columns.values():
        return []
    rows = []
    for index in range(table.GetNumberOfRows()):
        volume_ml, confidence, dice, uncertain_ml = (_number(columns[name], index) for name in FIGURES)
        segment_id, name = columns[SEGMENT_ID].GetValue(index), columns[NAME].GetValue(index)
        rows.append(SegmentRow(segment_id, name, volume_ml or 0.0, confidence, dice, uncertain_ml or 0.0))
    return rows


def _add_texts(node: slicer.vtkMRMLTableNode, name: str, values: Sequence[str]) -> None:
    column = vtk.vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    node.AddColumn(column)


def _add_numbers(node: slicer.vtkMRMLTableNode, name: str, values: Sequence[float | None]) -> None:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float("nan") if value is None else value)
    node.AddColumn(column)
    node.SetColumnNullValue(name, "nan")  # else an empty cell of a file would be read as 0


def _number(column: vtk.vtkAbstractArray, index: int) -> float | None:
    value = column.GetVariantValue(index).ToDouble()
    return None if np.isnan(value) else value
