"""The rows of a batch as a table node, which is saved with the scene."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import batch_columns


def add_batch_table(scene: slicer.vtkMRMLScene, rows: Sequence[BatchRow], name: str) -> slicer.vtkMRMLTableNode:
    """Add a table node with the columns of `batch_columns`; missing figures are NaN."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    for title, values in batch_columns(rows):
        is_text = all(isinstance(value, str) for value in values)
        column = vtk.vtkStringArray() if is_text else vtk.vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(float("nan") if value is None else value)
        node.AddColumn(column)
        if not is_text:
            node.SetColumnNullValue(title, "nan")  # else an empty cell of a file would be read as 0
    node.SetLocked(True)  # figures of a run, not to be edited by a stray key
    return node
