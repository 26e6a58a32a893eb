"""The cases of a list: a text file with a path on each line, or a table with a column of paths."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import InputError, UsageError

TABLES = {".csv": ",", ".tsv": "\t"}
PATH_COLUMNS = ("image", "path", "file", "source")
NAME_COLUMN = "case"
MISSING = "there is no such file or folder"


def listed_cases(path: Path, column: str | None = None) -> list[Case]:
    """Cases in the order of a list. Paths are relative to its folder; a column ``case`` of a table names them.

    A path that leads nowhere is a case with a problem: one of a thousand must not stop the others.

    Args:
        path: of the list, in UTF-8; lines of a text file that begin with # say nothing.
        column: of a table, that has the paths; None for one that is called as `PATH_COLUMNS`.

    Raises:
        InputError: the list cannot be read, or is empty.
        UsageError: there is no such column, or two lines name the same image.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"the list cannot be read ({error.strerror})", file=path, remedy="Check it") from error
    rows = list(_table_rows(text, path, column) if path.suffix.lower() in TABLES else _lines(text))
    if not rows:
        raise InputError("the list names no image", file=path, remedy="Write a path on each line")
    seen: dict[Path, int] = {}
    cases = []
    for number, name, entry in rows:
        image = path.parent / entry
        first = seen.setdefault(image.resolve(), number)
        if first != number:
            raise UsageError(f"lines {first} and {number} name the same image, {entry}", remedy="Name each once")
        cases.append(Case(name or _identity(image, path.parent), image, problem="" if image.exists() else MISSING))
    return cases


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, no name, and path of each line."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, "", line.strip()


def _table_rows(text: str, path: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """Number of the line, name, and path of each row."""
    reader = csv.DictReader(text.splitlines(), delimiter=TABLES[path.suffix.lower()])
    columns = list(reader.fieldnames or [])
    found = [name for name in columns if name == column or (column is None and name.lower() in PATH_COLUMNS)]
    if not found:
        raise UsageError(
            f"no column of {path.name} has the paths: there are {', '.join(columns) or 'none'}",
            remedy="Name it with --column",
        )
    for row in reader:
        entry = (row[found[0]] or "").strip()
        if not entry:
            raise UsageError(
                f"line {reader.line_num} of {path.name} names no image", remedy="Fill the cell, or remove it"
            )
        yield reader.line_num, (row.get(NAME_COLUMN) or "").strip(), entry


def _identity(image: Path, folder: Path) -> str:
    """The path below the folder of the list where it lies there, else the whole path."""
    place, here = image.absolute(), folder.absolute()
    return (place.relative_to(here) if place.is_relative_to(here) else place).as_posix()
