"""The rows of a cohort as columns, as a CSV file and as a Parquet file with the same columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell

Column = tuple[str, list[str] | list[float | None] | list[int]]

FIRST = ("case", "source", "status", "reason")
TEXTS = ("task", "verdict", "quality", "thorough", "nearest_task")
FIGURES = ("p_value", "score", "limit")
LAST = ("model", "model_sha256", "date", "scanner", "device", "site")


def cohort_columns(records: Sequence[CaseRecord]) -> list[Column]:
    """Titles, the same in every language, with the values of all rows. Figures that are missing are None.

    ``expected Dice`` is that of the segment that is expected to be worst; each has a column of its own beside the one
    of its millilitres. ``agreement`` is the mean over the segments; each that further looks found has its own, too.
    """
    columns: list[Column] = [(title, _texts(records, title)) for title in FIRST]
    columns.append(("attempts", [record.attempts for record in records]))
    columns += [(title, _texts(records, title)) for title in TEXTS]
    columns += [(title, [getattr(record, title) for record in records]) for title in FIGURES]
    columns.append(("expected Dice", [record.lowest_dice for record in records]))
    columns.append(("agreement", [record.agreement for record in records]))
    looked_at = {name for record in records for name in record.agreements}
    for name in dict.fromkeys(name for record in records for name in _structures(record)):
        columns.append((f"{name} [mL]", [record.volumes_ml.get(name) for record in records]))
        columns.append((f"{name} expected Dice", [record.expected_dice.get(name) for record in records]))
        if name in looked_at:
            columns.append((f"{name} agreement", [record.agreements.get(name) for record in records]))
    columns.append(("seconds", [record.seconds for record in records]))
    columns += [(title, _texts(records, title)) for title in LAST]
    columns.append(("warnings", [_plain(" | ".join(record.warnings)) for record in records]))
    return columns


def write_csv(columns: Sequence[Column], path: Path) -> None:
    """Write the columns with their titles, missing figures as empty cells.

    Texts that a spreadsheet would take for a formula begin with an apostrophe: see `spreadsheet_cell`.

    Raises:
        OSError: the file cannot be written.
    """
    # A mark at the start, without which spreadsheets do not take the file for UTF-8.
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow([spreadsheet_cell(title) for title, _ in columns])
        for cells in zip(*(values for _, values in columns), strict=True):
            writer.writerow([spreadsheet_cell(cell) for cell in cells])


def write_parquet(columns: Sequence[Column], path: Path) -> None:
    """Write the columns: texts, 64-bit floats with nulls, 64-bit integers.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    kinds: dict[str, Any] = {
        **dict.fromkeys((*FIRST, *TEXTS, *LAST, "warnings"), pyarrow.string()),
        "attempts": pyarrow.int64(),
    }
    arrays = {title: pyarrow.array(values, kinds.get(title, pyarrow.float64())) for title, values in columns}
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)


def _structures(record: CaseRecord) -> list[str]:
    """Names of all that a row has figures of."""
    return list({**record.volumes_ml, **record.expected_dice, **record.agreements})


def _texts(records: Sequence[CaseRecord], name: str) -> list[str]:
    return [_plain(getattr(record, name)) for record in records]


def _plain(text: str) -> str:
    """Names of files need not be text: what cannot be written is a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
