"""The rows of a batch as columns, and as a CSV file. No torch here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell

Column = tuple[str, list[str] | list[float | None]]

TEXTS = ("image", "file", "task", "verdict", "quality", "thorough", "nearest_task", "model")
FIGURES = ("predicted_dice", "agreement", "p_value", "score", "limit")
SECONDS, WARNINGS, ERROR = "seconds", "warnings", "error"


def batch_columns(rows: Sequence[BatchRow]) -> list[Column]:
    """Titles with the values of all rows, which were segmented or checked: what was found, then one column of
    millilitres per structure, one of the agreement of each that was looked at again, then the `figure_columns`.

    Titles are the same in every language, so that scripts can rely on them. Figures that are missing are None.

    >>> [title for title, _ in batch_columns([BatchRow("a", volumes_ml={"left ventricle": 2.0})])]
    ['image', 'file', 'task', 'verdict', 'quality', 'thorough', 'nearest_task', 'model', 'predicted_dice', \
'agreement', 'p_value', 'score', 'limit', 'seconds', 'left ventricle [mL]', 'warnings', 'error']
    """
    structures = list(dict.fromkeys(name for row in rows for name in row.volumes_ml))
    columns: list[Column] = [(title, [str(getattr(row, title)) for row in rows]) for title in TEXTS]
    columns += [(title, [getattr(row, title) for row in rows]) for title in FIGURES]
    columns.append((SECONDS, [round(row.seconds, 3) for row in rows]))
    columns += [(f"{name} [mL]", [row.volumes_ml.get(name) for row in rows]) for name in structures]
    looked_at = list(dict.fromkeys(name for row in rows for name in row.agreements))
    columns += [(f"{name} agreement", [row.agreements.get(name) for row in rows]) for name in looked_at]
    columns += figure_columns(rows)
    columns.append((WARNINGS, [" | ".join(row.warnings) for row in rows]))
    columns.append((ERROR, [row.error for row in rows]))
    return columns


def figure_columns(rows: Sequence[BatchRow]) -> list[tuple[str, list[float | None]]]:
    """Titles with the values of all rows, of those figures of Segment Statistics that any row was asked for: one column
    per figure and structure, those of a figure side by side.

    >>> figure_columns([BatchRow("a", figures={"Roundness": {"heart": 0.5}}), BatchRow("b")])
    [('heart: Roundness', [0.5, None])]
    """
    structures: dict[str, dict[str, None]] = {}
    for row in rows:
        for figure, values in row.figures.items():
            structures.setdefault(figure, {}).update(dict.fromkeys(values))
    return [
        (f"{name}: {figure}", [row.figures.get(figure, {}).get(name) for row in rows])
        for figure, names in structures.items()
        for name in names
    ]


def write_batch_csv(rows: Sequence[BatchRow], path: str | Path) -> None:
    """Write the rows with titles, missing figures as empty cells, texts that look like formulas after an apostrophe.

    Raises:
        ResourceError: the file cannot be written.
    """
    columns = batch_columns(rows)
    # A mark at the start, without which spreadsheets do not take the file for UTF-8. Names of files need not be text.
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8-sig", errors="replace") as stream:
        writer = csv.writer(stream)
        writer.writerow([spreadsheet_cell(title) for title, _ in columns])
        for number in range(len(rows)):
            cells = (values[number] for _, values in columns)
            writer.writerow([spreadsheet_cell(cell) for cell in cells])
