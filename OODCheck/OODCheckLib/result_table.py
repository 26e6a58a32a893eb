"""The verdicts on many images as a table node of the scene, and as a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer

from MultiTaskSegLib.panel.verdict_banner import level_of
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from OODCheckLib.chart import column_of
from OODCheckLib.check_batch import CheckedImage

# Column titles are the same in every language, so that a script can rely on them.
COLUMNS = ("image", "verdict", "p_value", "score", "limit", "nearest_task", "file", "message")
ROWS_ATTRIBUTE = "MultiTaskSeg.OOD.Rows"  # path and complete verdict of each row, for files that are loaded later
NO_SUCH_SIGNS = str.maketrans(
    {'"': "'", "\t": " ", "\n": " ", "\r": " "}
)  # for which the format of saved tables has no way
NOT_CHECKED = "not checked"
WORDS = {"FOREIGN": "out of distribution", "UNUSUAL": "in distribution (unusual)", "KNOWN": "in distribution"}


def write_results(node: slicer.vtkMRMLTableNode, checked: Sequence[CheckedImage]) -> None:
    """Fill a table node, one row per image; each row refers to its volume, if the image is in the scene."""
    for row in range(node.GetNumberOfRows()):
        node.RemoveNodeReferenceIDs(row_role(row))
    node.RemoveAllColumns()
    rows = [_row(image) for image in checked]
    for number, title in enumerate(COLUMNS):
        node.AddColumn(column_of(title, [row[number].translate(NO_SUCH_SIGNS) for row in rows]))
    node.SetAttribute(ROWS_ATTRIBUTE, json.dumps([_exact(image) for image in checked]))
    for row, image in enumerate(checked):
        if image.item.node is not None and image.item.node.GetScene() is not None:
            node.SetNodeReferenceID(row_role(row), image.item.node.GetID())
    node.Modified()


def row_role(row: int) -> str:
    """Role in which a table node refers to the volume of a row."""
    return f"MultiTaskSeg.Row.{row}"


def row_texts(node: slicer.vtkMRMLTableNode, row: int) -> dict[str, str]:
    """The cells of a row by column title."""
    return {title: node.GetTable().GetValueByName(row, title).ToString() for title in COLUMNS}


def verdict_of_row(node: slicer.vtkMRMLTableNode, row: int) -> Verdict | None:
    """The verdict of a row, or None where the image could not be checked."""
    plain = json.loads(node.GetAttribute(ROWS_ATTRIBUTE))[row]["verdict"]
    return None if plain is None else Verdict.from_dict(plain)


def file_of_row(node: slicer.vtkMRMLTableNode, row: int) -> Path | None:
    """The image file of a row, or None for a volume of the scene."""
    path = json.loads(node.GetAttribute(ROWS_ATTRIBUTE))[row]["file"]
    return None if path is None else Path(path)


def volume_of_row(node: slicer.vtkMRMLTableNode, row: int) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume of a row, or None for a file that has not been loaded and for a removed volume."""
    return node.GetNodeReference(row_role(row))


def write_csv(node: slicer.vtkMRMLTableNode, path: str | Path) -> None:
    """Write the table, with titles.

    Raises:
        ResourceError: the file cannot be written.
    """
    # A mark at the start, without which spreadsheets do not take the file for UTF-8.
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(row_texts(node, row) for row in range(node.GetNumberOfRows()))


def _exact(image: CheckedImage) -> dict[str, Any]:
    return {
        "file": None if image.item.path is None else str(image.item.path),
        "verdict": None if image.verdict is None else image.verdict.as_dict(),
    }


def _row(image: CheckedImage) -> tuple[str, ...]:
    path = "" if image.item.path is None else str(image.item.path)
    verdict = image.verdict
    if verdict is None:
        return (image.item.name, NOT_CHECKED, "", "", "", "", path, image.message)
    figures = (f"{verdict.p_value:.6g}", f"{verdict.score:.6g}", f"{verdict.threshold:.6g}")
    return (image.item.name, WORDS[level_of(verdict).name], *figures, verdict.nearest_task, path, "")
