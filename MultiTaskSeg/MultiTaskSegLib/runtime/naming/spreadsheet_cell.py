"""What a cell of a CSV file says when a spreadsheet opens it."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_cell(value: str | float | None) -> str | float:
    """The value as a cell: nothing for a missing figure, and an apostrophe before a text that a spreadsheet would take
    for a formula, since names of files and what headers say may come from anybody (OWASP, CSV injection).

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell(-0.5), spreadsheet_cell(None)
    ("'=1+1", -0.5, '')
    """
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
