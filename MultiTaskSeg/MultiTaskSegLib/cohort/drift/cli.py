"""``multitaskseg drift``: reads the results of a cohort, tests them, and writes table and page beside them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from MultiTaskSegLib.cohort.drift.drift_page import drift_page
from MultiTaskSegLib.cohort.drift.drift_table import write_drift
from MultiTaskSegLib.cohort.drift.shift import WAYS, Shift, shifts
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.cohort.result.results import all_results
from MultiTaskSegLib.cohort.result.settings import read_settings
from MultiTaskSegLib.runtime.errors import InputError, printable
from MultiTaskSegLib.runtime.machine.atomic_file import staged_files

CSV_FILE, PAGE_FILE = "drift.csv", "drift.html"
EXIT_DRIFT = 3


def drift(options: argparse.Namespace) -> int:
    """Tell what moves. Returns the exit code: 0, or 3 where it is asked for and something does.

    Raises:
        InputError: the folder holds no finished case of a cohort, or one that cannot be read.
        ResourceError: table and page cannot be written.
    """
    records = _finished(options.output, options.since, options.until)
    found = shifts(records, options.by or WAYS, options.alpha)
    with staged_files(options.output) as stage:
        write_drift(found, options.alpha, stage / CSV_FILE)
        page = drift_page(records, found, options.alpha)
        (stage / PAGE_FILE).write_text(page, encoding="utf-8", errors="replace")
    moved = [shift for shift in found if shift.is_drift(options.alpha)]
    if options.json:
        rows = [{**asdict(shift), "drift": shift in moved} for shift in found]
        print(json.dumps({"cases": len(records), "alpha": options.alpha, "tests": rows}, indent=1))
    else:
        _tell(records, found, moved, options.output)
    return EXIT_DRIFT if moved and options.fail_on_drift else 0


def _finished(output: Path, since: str | None, until: str | None) -> list[CaseRecord]:
    """Also those of earlier calls with other lists: a cohort that grows by the week is the one that may drift."""
    if read_settings(output) is None:
        raise InputError("there are no results of a cohort", file=output, remedy="Give the folder of 'cohort ... -o'")
    records = all_results(output)
    if since or until:
        records = [one for one in records if one.date and (since or "") <= one.date <= (until or "9999")]
    if not records:
        raise InputError("no case is finished there, or none of that time", file=output, remedy="Run the cohort first")
    return records


def _tell(records: Sequence[CaseRecord], found: Sequence[Shift], moved: Sequence[Shift], output: Path) -> None:
    for by, reason in dict.fromkeys((shift.by, shift.reason) for shift in found if shift.reason):
        print(printable(f"by {by}, not tested: {reason}"), file=sys.stderr)
    for shift in moved:
        place = f"{'from' if shift.by == 'date' else 'in'} {shift.where}"
        words = f"{shift.quantity}: {shift.here:.4g} {place}, else {shift.elsewhere:.4g} (p = {shift.adjusted:.2g})"
        print(printable(words))
    tested = sum(shift.p_value is not None for shift in found)
    print(f"{len(records)} cases, {tested} tests, {len(moved)} show more than chance gives")
    print(printable(f"overview in {output / PAGE_FILE}"))
