"""Tables and page of a cohort in the folder of its results: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MultiTaskSegLib.cohort.overview.page import cohort_page
from MultiTaskSegLib.cohort.overview.table import cohort_columns, write_csv, write_parquet
from MultiTaskSegLib.cohort.result.case_record import FAILED, PENDING, CaseRecord
from MultiTaskSegLib.cohort.result.settings import CohortSettings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.machine.atomic_file import staged_files

CSV_FILE, PARQUET_FILE, PAGE_FILE = "cohort.csv", "cohort.parquet", "cohort.html"


def all_records(
    cases: Sequence[Case], finished: Mapping[str, CaseRecord], failed: Mapping[str, tuple[str, int]]
) -> list[CaseRecord]:
    """A row for each case, in their order.

    Args:
        cases: all.
        finished: rows by identity.
        failed: by identity, the reason and how often it was tried.
    """
    rows = []
    for case in cases:
        row = finished.get(case.identity)
        if row is None and case.identity in failed:
            reason, attempts = failed[case.identity]
            row = CaseRecord(case.identity, str(case.image), FAILED, reason, attempts)
        rows.append(row or CaseRecord(case.identity, str(case.image), PENDING, attempts=0))
    return rows


def write_summary(records: Sequence[CaseRecord], settings: CohortSettings, output: Path) -> None:
    """Write the tables and the page, in the place of those of an earlier run.

    Raises:
        ResourceError: they cannot be written.
    """
    columns = cohort_columns(records)
    with staged_files(output) as stage:
        write_csv(columns, stage / CSV_FILE)
        write_parquet(columns, stage / PARQUET_FILE)
        text = cohort_page(records, settings, output)
        (stage / PAGE_FILE).write_text(text, encoding="utf-8", errors="replace")
