"""The table of a cohort as the rows of a batch. No Slicer here."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.runtime.errors import ResourceError

TABLE, PAGE = "cohort.csv", "cohort.html"
MILLILITRES, AGREEMENT = " [mL]", " agreement"
DONE, FAILED = "done", "failed"
FORMULA_STARTS = ("'=", "'+", "'-", "'@", "'\t", "'\r")  # behind an apostrophe, so that no spreadsheet runs them


def cohort_rows(output: Path) -> list[BatchRow]:
    """A row for each image that was done or has failed; those that are still to come have none.

    Raises:
        ResourceError: there is no table, or it cannot be read.
    """
    path = output / TABLE
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [_row(cells) for cells in csv.DictReader(stream) if cells["status"] in (DONE, FAILED)]
    except (OSError, ValueError, KeyError) as error:
        raise ResourceError(f"the table of the cohort cannot be read ({error})", file=path) from error


def _row(cells: Mapping[str, str]) -> BatchRow:
    plain = {title: text[1:] if text.startswith(FORMULA_STARTS) else text for title, text in cells.items()}
    is_done = plain["status"] == DONE
    return BatchRow(
        plain["case"],
        plain["task"],
        plain["verdict"],
        float(plain["p_value"]) if plain["p_value"] else None,
        _by_structure(plain, MILLILITRES),
        float(plain["seconds"] or 0),
        tuple(text for text in plain["warnings"].split(" | ") if text),
        error="" if is_done else plain["reason"],
        model=plain["model"],
        model_sha256=plain["model_sha256"],
        file=plain["source"],
        quality=plain["quality"],
        thorough=plain["thorough"],
        agreement=float(plain["agreement"]) if plain["agreement"] else None,
        agreements=_by_structure(plain, AGREEMENT),
    )


def _by_structure(plain: Mapping[str, str], ending: str) -> dict[str, float]:
    """The figures of a row whose titles are a structure and this ending."""
    return {title.removesuffix(ending): float(text) for title, text in plain.items() if title.endswith(ending) and text}
