"""The rows of a batch as a table node, which is saved with the scene: the same for segmentations and for checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import slicer

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import batch_columns
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.attributes import PREFIX
from MultiTaskSegLib.scene.node.table_column import add_numbers, add_texts
from MultiTaskSegLib.typed_error import typed_errors

ROWS_ATTRIBUTE = f"{PREFIX}Batch.Rows"  # every row to the sign but its picture, with the complete verdict


def add_batch_table(scene: slicer.vtkMRMLScene, rows: Sequence[BatchRow], name: str) -> slicer.vtkMRMLTableNode:
    """Add a table node with the columns of `batch_columns`, see `fill_batch_table`."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    fill_batch_table(node, rows)
    return node


@typed_errors()
def fill_batch_table(node: slicer.vtkMRMLTableNode, rows: Sequence[BatchRow]) -> None:
    """Put rows into a table node instead of what it had; missing figures are NaN.

    Each row refers to its volume, if that is in the scene. The rows can be read back exactly with `batch_rows_of`, but
    for their pictures, also after the scene has been saved and loaded.

    Raises:
        ResourceError: whatever went wrong.
    """
    for row in range(node.GetNumberOfRows()):
        node.RemoveNodeReferenceIDs(row_role(row))
    node.RemoveAllColumns()
    for title, values in batch_columns(rows):
        is_text = all(isinstance(value, str) for value in values)
        (add_texts if is_text else add_numbers)(node, title, values)
    node.SetAttribute(ROWS_ATTRIBUTE, json.dumps([_plain(row) for row in rows]))
    for number, row in enumerate(rows):
        if row.volume_id and node.GetScene().GetNodeByID(row.volume_id) is not None:
            node.SetNodeReferenceID(row_role(number), row.volume_id)
    node.SetLocked(True)  # figures of a run, not to be edited by a stray key
    node.Modified()


def row_role(row: int) -> str:
    """Role in which a table node refers to the volume of a row."""
    return f"{PREFIX}Row.{row}"


def batch_rows_of(node: slicer.vtkMRMLTableNode) -> list[BatchRow]:
    """The rows of a table that `fill_batch_table` filled; of another table none."""
    rows = [_row(plain) for plain in json.loads(node.GetAttribute(ROWS_ATTRIBUTE) or "[]")]
    return rows if len(rows) == node.GetNumberOfRows() else []


def _plain(row: BatchRow) -> dict[str, Any]:
    """All but the picture, which would make scenes large."""
    ood = None if row.ood is None else row.ood.as_dict()
    plain = {name: value for name, value in vars(row).items() if name != "thumbnail"}
    figures = {figure: dict(values) for figure, values in row.figures.items()}
    more = {"volumes_ml": dict(row.volumes_ml), "warnings": list(row.warnings), "ood": ood, "figures": figures}
    return {**plain, **more, "agreements": dict(row.agreements)}


def _row(plain: dict[str, Any]) -> BatchRow:
    ood = None if plain["ood"] is None else Verdict.from_dict(plain["ood"])
    return BatchRow(**{**plain, "warnings": tuple(plain["warnings"]), "ood": ood})
