"""The table of a cohort as the rows of a batch. No Slicer here."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.runtime.errors import ResourceError

TABLE, PAGE = "cohort.csv", "cohort.html"
MILLILITRES = " [mL]"
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
    volumes = {title: text for title, text in plain.items() if title.endswith(MILLILITRES) and text}
    is_done = plain["status"] == DONE
    return BatchRow(
        plain["case"],
        plain["task"],
        plain["verdict"],
        float(plain["p_value"]) if plain["p_value"] else None,
        {title.removesuffix(MILLILITRES): float(text) for title, text in volumes.items()},
        float(plain["seconds"] or 0),
        tuple(text for text in plain["warnings"].split(" | ") if text),
        error="" if is_done else plain["reason"],
        model=plain["model"],
        model_sha256=plain["model_sha256"],
        file=plain["source"],
    )
