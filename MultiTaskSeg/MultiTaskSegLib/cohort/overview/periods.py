"""Days, months or years between two dates, so many as a chart has room for."""

from __future__ import annotations

from collections.abc import Iterable

MOST_MONTHS = 60
_DAY, _MONTH, _YEAR = 10, 7, 4  # characters of an ISO date


def periods(dates: Iterable[str]) -> tuple[list[str], int]:
    """By day within one month, by month within some years, else by year; times without any date among them, too.

    Args:
        dates: at least one, ``YYYY-MM-DD``.

    Returns:
        The periods in order, and how many characters of a date tell its own.
    """
    days = sorted(dates)
    first, last = days[0], days[-1]
    months = _months(first[:_MONTH], last[:_MONTH])
    if len(months) == 1:
        return [f"{months[0]}-{day:02d}" for day in range(int(first[8:]), int(last[8:]) + 1)], _DAY
    if len(months) > MOST_MONTHS:
        return [f"{year:04d}" for year in range(int(first[:_YEAR]), int(last[:_YEAR]) + 1)], _YEAR
    return months, _MONTH


def _months(first: str, last: str) -> list[str]:
    """All months from one to another.

    >>> _months("2025-11", "2026-01")
    ['2025-11', '2025-12', '2026-01']
    """
    start, end = (12 * int(month[:4]) + int(month[5:]) - 1 for month in (first, last))
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(start, end + 1)]
