"""``cases.csv``: which cases show the same patient."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path

FILE = "cases.csv"
CASE, GROUP = "case", "group"


def read_groups(folder: Path) -> dict[str, str]:
    """Group by case; none where there is no file.

    Raises:
        DatasetError: the file cannot be read, or lacks the columns.
    """
    return {(row[CASE] or "").strip(): (row[GROUP] or "").strip() for row in _rows(folder)[1]}


def add_groups(folder: Path, groups: Mapping[str, str]) -> None:
    """Add rows for new cases; those of others stay as they are, with all their columns.

    A row that is there for a new case is of one that was removed, or never got so far; it goes, since a case has one.

    Raises:
        DatasetError: the file cannot be read, or lacks the columns.
        ResourceError: it cannot be written.
    """
    columns, rows = _rows(folder)
    rows = [row for row in rows if (row[CASE] or "").strip() not in groups]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, *({CASE: case, GROUP: group} for case, group in groups.items())])
    with atomic_path(folder / FILE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _rows(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    path = folder / FILE
    if not path.is_file():
        return [CASE, GROUP], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"{FILE} cannot be read ({error})", file=path, remedy="Save it as UTF-8 text") from error
    columns = list(reader.fieldnames or ())
    if not {CASE, GROUP} <= set(columns):
        raise DatasetError(f"{FILE} needs the columns '{CASE}' and '{GROUP}'", file=path, remedy="Add them")
    return columns, rows
