"""Measurements as columns of the table of a result, and that table as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer
import vtk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell
from MultiTaskSegLib.scene.comparison.reference import COLUMNS as COMPARED
from MultiTaskSegLib.scene.earlier_result import INPUT_ROLE, TABLE_ROLE
from MultiTaskSegLib.scene.figure.measurement import Measurement, measurements, measurements_of
from MultiTaskSegLib.scene.figure.segment_statistics import Figures, measured
from MultiTaskSegLib.scene.node.measured_column import note_measured
from MultiTaskSegLib.scene.node.table_column import add_numbers
from MultiTaskSegLib.scene.result_table import CORRECTED, NAME, SEGMENT_ID, rows_of

TEXTS = (NAME, CORRECTED, SEGMENT_ID)
DIGITS = 10  # as text, VTK gives six


def set_figures(segmentation_node: slicer.vtkMRMLSegmentationNode, columns: Sequence[str]) -> slicer.vtkMRMLTableNode:
    """Let the table of a result have these measurements after the figures of the model, and no others.

    Raises:
        InputError: the segmentation has no table.
        UsageError: there is no such measurement.
        ResourceError: this Slicer has no module Segment Statistics.
    """
    _table_of(segmentation_node)  # first: measuring takes its time
    wanted = measurements_of(columns)
    volume_node = segmentation_node.GetNodeReference(INPUT_ROLE)
    return put_figures(segmentation_node, wanted, measured(segmentation_node, volume_node, wanted) if wanted else {})


def put_figures(
    segmentation_node: slicer.vtkMRMLSegmentationNode, wanted: Sequence[Measurement], figures: Figures
) -> slicer.vtkMRMLTableNode:
    """Let the table of a result have figures that were measured of it just now, see `set_figures`.

    Raises:
        InputError: the segmentation has no table.
    """
    table = _table_of(segmentation_node)
    for column in chosen_figures(segmentation_node):
        table.RemoveColumn(table.GetColumnIndex(column))
    for one in wanted:
        add_numbers(table, one.column, [figures.get((row.segment_id, one.column)) for row in rows_of(table)])
        table.SetColumnDescription(one.column, f"{one.column}, by Slicer's Segment Statistics")
    volume_node = segmentation_node.GetNodeReference(INPUT_ROLE)
    note_measured(table, [one.column for one in wanted], segmentation_node, volume_node)
    table.Modified()
    return table


def chosen_figures(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Columns of measurements that the table of a result has."""
    table = segmentation_node.GetNodeReference(TABLE_ROLE)
    return [] if table is None else [one.column for one in measurements() if table.GetColumnIndex(one.column) >= 0]


def figure_values(segmentation_node: slicer.vtkMRMLSegmentationNode) -> list[tuple[str, list[float]]]:
    """The columns of `chosen_figures`, and of a comparison, with their values, NaN where there is none."""
    table = segmentation_node.GetNodeReference(TABLE_ROLE)
    found = []
    compared = [column for column in COMPARED if table.GetColumnIndex(column) >= 0]
    for name in [*compared, *chosen_figures(segmentation_node)]:
        column = table.GetTable().GetColumnByName(name)
        rows = range(table.GetNumberOfRows())
        found.append((name, [column.GetVariantValue(row).ToDouble() for row in rows]))
    return found


def write_figures(segmentation_node: slicer.vtkMRMLSegmentationNode, path: str | Path) -> None:
    """Write the table of a result as CSV with titles; missing figures are empty cells.

    Raises:
        InputError: the segmentation has no table.
        ResourceError: the file cannot be written.
    """
    table = _table_of(segmentation_node).GetTable()
    columns = [table.GetColumn(number) for number in range(table.GetNumberOfColumns())]
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow([spreadsheet_cell(column.GetName()) for column in columns])
        for row in range(table.GetNumberOfRows()):
            writer.writerow([_cell(column, row) for column in columns])


def _cell(column: vtk.vtkAbstractArray, row: int) -> str:
    value = column.GetVariantValue(row)
    if column.GetName() in TEXTS:
        return str(spreadsheet_cell(value.ToString()))
    number = value.ToDouble()
    return "" if np.isnan(number) else f"{number:.{DIGITS}g}"


def _table_of(segmentation_node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLTableNode:
    table = segmentation_node.GetNodeReference(TABLE_ROLE)
    if table is None:
        raise InputError(
            "the segmentation has no table of figures",
            file=segmentation_node.GetName(),
            remedy="Choose a result of MultiTaskSeg",
        )
    return table
