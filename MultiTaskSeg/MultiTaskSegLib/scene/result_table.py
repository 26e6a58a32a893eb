"""The figures of each segment as a table node, which is saved with the scene and can be exported as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from MultiTaskSegLib.scene.node.placement import place_beside
from MultiTaskSegLib.scene.node.table_column import add_numbers, add_texts
from MultiTaskSegLib.scene.uncertain_region import HIGH_UNCERTAINTY, MM3_PER_ML

NAME, VOLUME, CONFIDENCE, DICE, UNCERTAIN, SEGMENT_ID = (
    "Segment",
    "Volume [mL]",
    "Mean confidence",
    "Predicted Dice",
    "Uncertain volume [mL]",
    "Segment ID",
)
VOXELS = "Voxels"
AT_LEAST, AGREEMENT = "Dice at least", "Agreement"
CORRECTED, YES, NO = "Corrected", "yes", "no"
FIGURES = (VOLUME, CONFIDENCE, DICE, UNCERTAIN)
DESCRIPTIONS = {
    VOLUME: "Volume of the segment in millilitres; empty where the image has no physical size",
    CONFIDENCE: "Mean calibrated probability of the chosen label over the segment",
    DICE: "Dice coefficient to be expected of the segment",
    AT_LEAST: "Dice coefficient that is reached in nine of ten such images; empty where nobody knows",
    AGREEMENT: "Mean Dice coefficient with the segments of further looks; empty where there was no thorough check",
    UNCERTAIN: f"Volume of the segment where the uncertainty is {HIGH_UNCERTAINTY} or more, in millilitres",
    VOXELS: "Number of voxels of the segment",
    CORRECTED: "Whether the segment was changed after the run; what the model said of it is then left out",
}


@dataclass(frozen=True)
class SegmentRow:
    """The figures of one segment; None where there is none to give.

    Attributes:
        segment_id: of the segment in the segmentation node.
        name: for people.
        volume_ml: 0 for a structure that was not found; None where the image has no physical size.
        mean_confidence: mean probability of the label over the segment, 0 to 1.
        predicted_dice: the Dice coefficient to expect, 0 to 1.
        uncertain_ml: volume of the segment with an uncertainty of at least `HIGH_UNCERTAINTY`; None as for the volume.
        voxels: how many it has; 0 in a table of an earlier version.
        is_corrected: whether it was changed after the run; the model's figures are then missing.
        dice_at_least: reached in nine of ten such images; None where nobody knows, and in an earlier table.
        agreement: mean Dice with the segments of further looks; None without a thorough check.
    """

    segment_id: str
    name: str
    volume_ml: float | None
    mean_confidence: float | None
    predicted_dice: float | None
    uncertain_ml: float | None
    voxels: int = 0
    is_corrected: bool = False
    dice_at_least: float | None = None
    agreement: float | None = None

    @property
    def is_found(self) -> bool:
        """Whether the structure has a voxel."""
        return self.voxels > 0 if self.volume_ml is None else self.volume_ml > 0.0


def segment_rows(
    report: Mapping[str, Any],
    legend: Sequence[Mapping[str, Any]],
    labels: NDArray[np.uint8],
    uncertainty: NDArray[np.float32],
    voxel_volume_mm3: float,
    regions: NDArray[np.bool_] | None = None,
) -> list[SegmentRow]:
    """One row per entry of ``legend``, from the report and the maps ``(Z, Y, X)``; where segments overlap, from
    ``regions`` ``(R, Z, Y, X)`` in the order of the legend."""
    is_uncertain = uncertainty >= HIGH_UNCERTAINTY
    if regions is None:
        counts, uncertain = (np.bincount(one.ravel(), minlength=256) for one in (labels, labels[is_uncertain]))
        voxels, uncertain_voxels = ([int(n[entry["value"]]) for entry in legend] for n in (counts, uncertain))
    else:
        voxels = [int(np.count_nonzero(region)) for region in regions]
        uncertain_voxels = [int(np.count_nonzero(region & is_uncertain)) for region in regions]
    by_value = {entry["value"]: entry for entry in report.get("labels", [])}
    rows = []
    for number, entry in enumerate(legend):
        figures = by_value.get(entry["value"], {})
        volume_mm3 = figures.get("volume_mm3", 0.0)
        uncertain_ml = float(uncertain_voxels[number] * voxel_volume_mm3 / MM3_PER_ML)
        rows.append(
            SegmentRow(
                str(entry["name"]),
                str(entry["display_name"]),
                None if volume_mm3 is None else float(volume_mm3) / MM3_PER_ML,
                figures.get("mean_confidence"),
                figures.get("predicted_dice"),
                None if volume_mm3 is None else uncertain_ml,
                voxels[number],
                dice_at_least=figures.get("dice_at_least"),
                agreement=figures.get("agreement"),
            )
        )
    return rows


def add_table(volume_node: slicer.vtkMRMLVolumeNode, rows: Sequence[SegmentRow], name: str) -> slicer.vtkMRMLTableNode:
    """Add the rows to the scene of ``volume_node`` as a table node."""
    node = volume_node.GetScene().AddNewNodeByClass("vtkMRMLTableNode", name)
    add_texts(node, NAME, [row.name for row in rows])
    add_numbers(node, VOLUME, [row.volume_ml for row in rows])
    add_numbers(node, CONFIDENCE, [row.mean_confidence for row in rows])
    add_numbers(node, DICE, [row.predicted_dice for row in rows])
    add_numbers(node, AT_LEAST, [row.dice_at_least for row in rows])
    add_numbers(node, AGREEMENT, [row.agreement for row in rows])
    add_numbers(node, UNCERTAIN, [row.uncertain_ml for row in rows])
    add_numbers(node, VOXELS, [row.voxels for row in rows])
    add_texts(node, CORRECTED, [YES if row.is_corrected else NO for row in rows])
    add_texts(node, SEGMENT_ID, [row.segment_id for row in rows])
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
    counts, marks, bounds, agreements = (
        table.GetColumnByName(name) for name in (VOXELS, CORRECTED, AT_LEAST, AGREEMENT)
    )  # which earlier versions did not write
    rows = []
    for index in range(table.GetNumberOfRows()):
        volume_ml, confidence, dice, uncertain_ml = (_number(columns[name], index) for name in FIGURES)
        segment_id, name = columns[SEGMENT_ID].GetValue(index), columns[NAME].GetValue(index)
        voxels = 0 if counts is None else int(_number(counts, index) or 0)
        is_corrected = marks is not None and marks.GetValue(index) == YES
        bound = None if bounds is None else _number(bounds, index)
        agreement = None if agreements is None else _number(agreements, index)
        figures = (volume_ml, confidence, dice, uncertain_ml, voxels, is_corrected, bound, agreement)
        rows.append(SegmentRow(segment_id, name, *figures))
    return rows


def rewrite_row(table_node: slicer.vtkMRMLTableNode, row: SegmentRow) -> None:
    """Put other figures into the row of a segment; other columns stay as they are.

    The table is one that `add_table` made. A segment that has no row changes nothing.
    """
    table = table_node.GetTable()
    if table.GetColumnByName(CORRECTED) is None:  # of an earlier version
        add_texts(table_node, CORRECTED, [NO] * table.GetNumberOfRows())
        table_node.SetColumnDescription(CORRECTED, DESCRIPTIONS[CORRECTED])
    ids = table.GetColumnByName(SEGMENT_ID)
    figures = (row.volume_ml, row.mean_confidence, row.predicted_dice, row.uncertain_ml)
    for index in (index for index in range(table.GetNumberOfRows()) if ids.GetValue(index) == row.segment_id):
        further = ((VOXELS, row.voxels), (AT_LEAST, row.dice_at_least), (AGREEMENT, row.agreement))
        for title, value in (*zip(FIGURES, figures, strict=True), *further):
            column = table.GetColumnByName(title)
            if column is not None:
                column.SetVariantValue(index, vtk.vtkVariant(float("nan") if value is None else value))
        table.GetColumnByName(CORRECTED).SetValue(index, YES if row.is_corrected else NO)
    table.Modified()


def _number(column: vtk.vtkAbstractArray, index: int) -> float | None:
    value = column.GetVariantValue(index).ToDouble()
    return None if np.isnan(value) else value
