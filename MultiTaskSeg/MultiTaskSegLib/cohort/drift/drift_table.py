"""The tests of a cohort as a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.cohort.drift.shift import Shift
from MultiTaskSegLib.cohort.overview.table import Column, write_csv

TEXTS, FIGURES = ("quantity", "by", "where", "reason"), ("p_value", "adjusted", "here", "elsewhere")


def write_drift(shifts: Sequence[Shift], alpha: float, path: Path) -> None:
    """A row for each test.

    Raises:
        OSError: the file cannot be written.
    """
    texts: list[Column] = [(title, [getattr(shift, title) for shift in shifts]) for title in TEXTS]
    figures: list[Column] = [(title, [getattr(shift, title) for shift in shifts]) for title in FIGURES]
    counts: list[Column] = [
        ("cases", [shift.cases for shift in shifts]),
        ("drift", [int(shift.is_drift(alpha)) for shift in shifts]),
    ]
    write_csv([*texts[:2], *counts, *figures[:2], texts[2], *figures[2:], texts[3]], path)
