"""Columns of table nodes, of text and of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

# Slicer writes tables without any way to quote: with one of these signs in a cell the rest of the row would be lost.
NO_SUCH_SIGNS = str.maketrans({'"': "'", "\t": " ", "\n": " ", "\r": " "})


def add_texts(node: slicer.vtkMRMLTableNode, title: str, values: Sequence[str]) -> None:
    """Add a column of text; signs that a saved table cannot hold are replaced by such as look alike."""
    column = vtk.vtkStringArray()
    column.SetName(title.translate(NO_SUCH_SIGNS))
    for value in values:
        column.InsertNextValue(value.translate(NO_SUCH_SIGNS))
    node.AddColumn(column)


def add_numbers(node: slicer.vtkMRMLTableNode, title: str, values: Sequence[float | None]) -> None:
    """Add a column of numbers; those that are missing are NaN."""
    column = vtk.vtkDoubleArray()
    column.SetName(title.translate(NO_SUCH_SIGNS))
    for value in values:
        column.InsertNextValue(float("nan") if value is None else value)
    node.AddColumn(column)
    node.SetColumnNullValue(column.GetName(), "nan")  # else an empty cell of a file would be read as 0
