"""The cases of a list: a text file with a path on each line, or a table with a column of paths."""

from __future__ import annotations

import csv
import io
import os
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
        InputError: the list cannot be read, is no text in UTF-8, or is empty.
        UsageError: there is no such column, or two lines name the same image.
    """
    text = _text(path)
    if path.suffix.lower() in TABLES:
        try:
            rows = list(_table_rows(text, path, column))
        except csv.Error as error:
            raise InputError(f"the table cannot be read ({error})", file=path, remedy="Check its quotes") from error
    elif column is None:
        rows = list(_lines(text))
    else:
        raise UsageError("--column is for tables (.csv, .tsv)", file=path, remedy="Leave it out")
    if not rows:
        raise InputError("the list names no image", file=path, remedy="Write a path on each line")
    seen: dict[str, int] = {}
    cases = []
    for number, name, entry in rows:
        image = path.parent / entry
        first = seen.setdefault(os.path.realpath(image), number)
        if first != number:
            raise UsageError(f"lines {first} and {number} name the same image, {entry}", remedy="Name each once")
        cases.append(Case(name or _identity(image, path.parent), image, problem=path_problem(image)))
    return cases


def _text(path: Path) -> str:
    try:
        # A newline in the cell of a table stays as it is.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            text = stream.read()
    except OSError as error:
        raise InputError(f"the list cannot be read ({error.strerror})", file=path, remedy="Check it") from error
    if "\0" in text:
        raise InputError(
            "this is neither a folder nor a list in UTF-8: it holds zero bytes, as images do, and texts in UTF-16",
            file=path,
            remedy="Give a folder, or save the list as UTF-8; 'multitaskseg segment' takes a single image",
        )
    return text


def path_problem(image: Path) -> str:
    """Why a path leads nowhere; empty where it leads somewhere."""
    try:
        os.stat(image)
    except FileNotFoundError:
        return MISSING
    except OSError as error:  # also a name that is too long, a circle of links, a folder that may not be entered
        return f"this path cannot be followed ({error.strerror})"
    return ""


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, no name, and path of each line."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, "", line.strip()


def _table_rows(text: str, path: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """Number of the line, name, and path of each row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=TABLES[path.suffix.lower()])
    columns = list(reader.fieldnames or [])
    found = [name for name in columns if name == column or (column is None and name.lower() in PATH_COLUMNS)]
    if not found:
        raise UsageError(
            f"no column of {path.name} has the paths: there are {', '.join(columns) or 'none'}",
            remedy="Name it with --column",
        )
    names = [name for name in columns if name.lower() == NAME_COLUMN]
    for row in reader:
        entry = (row[found[0]] or "").strip()
        if not entry:
            raise UsageError(
                f"line {reader.line_num} of {path.name} names no image", remedy="Fill the cell, or remove it"
            )
        yield reader.line_num, (row[names[0]] or "").strip() if names else "", entry


def _identity(image: Path, folder: Path) -> str:
    """The path below the folder of the list where it lies there, else the whole path."""
    place, here = image.absolute(), folder.absolute()
    return (place.relative_to(here) if place.is_relative_to(here) else place).as_posix()
