"""The verdicts on many images in a table node of the scene, as the panel shows them."""

from __future__ import annotations

from pathlib import Path

import slicer

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.batch_table import write_batch_csv
from MultiTaskSegLib.scene.batch.batch_table import batch_rows_of, row_role
from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN, UNUSUAL

NOT_CHECKED = "not checked"
WORDS = {"FOREIGN": FOREIGN, "UNUSUAL": UNUSUAL, "KNOWN": KNOWN}  # by the name of the level in the panel


def texts_of(row: BatchRow) -> dict[str, str]:
    """What a row says, as texts; ``message`` is why an image was not checked, figures that are missing are empty."""
    figures = {"p_value": row.p_value, "score": row.score, "limit": row.limit}
    texts = {"image": row.image, "verdict": row.verdict or NOT_CHECKED, "nearest_task": row.nearest_task}
    told = {"file": row.file, "message": row.error}
    return {**texts, **{title: "" if value is None else f"{value:.6g}" for title, value in figures.items()}, **told}


def volume_of_row(node: slicer.vtkMRMLTableNode, row: int) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume of a row, or None for a file that has not been loaded and for a removed volume."""
    return node.GetNodeReference(row_role(row))


def write_csv(node: slicer.vtkMRMLTableNode, path: str | Path) -> None:
    """Write the table, with titles.

    Raises:
        ResourceError: the file cannot be written.
    """
    write_batch_csv(batch_rows_of(node), path)
