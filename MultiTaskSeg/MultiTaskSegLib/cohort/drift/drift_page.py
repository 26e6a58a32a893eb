"""Drift on one page in HTML: what moved, where, and charts of every quantity over date, scanner and site.

The page holds all that it shows, runs nothing, and asks for nothing else. Whatever a header contains is shown as text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from MultiTaskSegLib.cohort.drift.quantity import Quantity, quantities
from MultiTaskSegLib.cohort.drift.shift import DATE, Shift, key_of
from MultiTaskSegLib.cohort.overview.chart import Spread, spreads_chart
from MultiTaskSegLib.cohort.overview.page import OWN_STYLE
from MultiTaskSegLib.cohort.overview.periods import periods
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.gallery.batch_page import STYLE

TITLE = "MultiTaskSeg drift"
MOST_GROUPS = 40
CHARTS = """Of each period or group: the median with the quartiles, of a share the mean. The red line is before the
period with the first day after the change."""


def drift_page(records: Sequence[CaseRecord], shifts: Sequence[Shift], alpha: float) -> str:
    """The text of the page.

    Args:
        records: finished cases.
        shifts: their tests.
        alpha: of all tests together.
    """
    ways = list(dict.fromkeys(shift.by for shift in shifts))
    charts = "".join(f"<section><h2>By {by}</h2>{_charts(records, shifts, by, alpha)}</section>\n" for by in ways)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f"<style>{STYLE}{OWN_STYLE}</style></head>\n<body><h1>{TITLE}</h1>\n"
        f"<section>{_summary(records, shifts, alpha)}</section>\n{charts}</body></html>\n"
    )


def _summary(records: Sequence[CaseRecord], shifts: Sequence[Shift], alpha: float) -> str:
    tested = [shift for shift in shifts if shift.p_value is not None]
    moved = sorted((shift for shift in tested if shift.is_drift(alpha)), key=lambda shift: shift.adjusted or 0.0)
    told = f"{len(records)} finished cases, {len(tested)} tests. {len(moved)} show more than chance gives"
    told += f" (p after Holm's adjustment at most {alpha:g})." if tested else "."
    cells = (_row(shift) for shift in moved)
    titles = ("quantity", "by", "from, or in", "there", "elsewhere", "cases", "p", "p adjusted")
    head = "".join(f"<th>{title}</th>" for title in titles)
    table = f"<table><tr>{head}</tr>{''.join(cells)}</table>" if moved else ""
    return f"<p>{told}</p>{table}{_untested(shifts)}"


def _row(shift: Shift) -> str:
    texts = (shift.quantity, shift.by, shift.where, f"{shift.here:.4g}", f"{shift.elsewhere:.4g}", str(shift.cases))
    figures = (f"{shift.p_value:.2g}", f"{shift.adjusted:.2g}")
    return f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in (*texts, *figures))}</tr>"


def _untested(shifts: Sequence[Shift]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for shift in shifts:
        if shift.reason:
            reasons.setdefault((shift.by, shift.reason), []).append(shift.quantity)
    lines = (
        f"<li>by {by}: {html.escape(reason)} ({html.escape(', '.join(names))})</li>"
        for (by, reason), names in reasons.items()
    )
    return f"<p>Not tested:</p><ul>{''.join(lines)}</ul>" if reasons else ""


def _charts(records: Sequence[CaseRecord], shifts: Sequence[Shift], by: str, alpha: float) -> str:
    keys = [key_of(record, by) for record in records]
    if not any(keys):
        return f"<p>No case says its {by}.</p>"
    if by == DATE:
        labels, length = periods(key for key in keys if key)
    else:
        labels, length = _largest(keys), None
    own = {shift.quantity: shift for shift in shifts if shift.by == by}
    figures = []
    for quantity in quantities(records):
        shift = own[quantity.name]
        is_marked = by == DATE and shift.is_drift(alpha)
        marked = labels.index(shift.where[:length]) if is_marked else None
        chart = spreads_chart(_spreads(quantity, [key[:length] for key in keys], labels), marked)
        figures.append(f"<figure>{chart}<figcaption>{html.escape(_caption(shift))}</figcaption></figure>")
    named = CHARTS if by == DATE else html.escape(" · ".join(labels))
    told = f"<p>{sum(map(bool, keys))} of {len(records)} cases say it.</p><p>{named}</p>"
    return told + "".join(figures)


def _largest(keys: Sequence[str]) -> list[str]:
    """Groups in the order of their names; of very many the largest."""
    counts = {key: keys.count(key) for key in set(keys) if key}
    return sorted(sorted(counts, key=lambda key: (-counts[key], key))[:MOST_GROUPS])


def _spreads(quantity: Quantity, keys: Sequence[str], labels: Sequence[str]) -> list[Spread]:
    values: dict[str, list[float]] = {}
    for key, value in zip(keys, quantity.values, strict=True):
        if value is not None:
            values.setdefault(key, []).append(value)
    return [_spread(label, values.get(label, []), quantity.is_share) for label in labels]


def _spread(label: str, values: Sequence[float], is_share: bool) -> Spread:
    if not values:
        return Spread(label)
    low, middle, high = [np.mean(values)] * 3 if is_share else np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(label, float(low), float(middle), float(high), len(values))


def _caption(shift: Shift) -> str:
    told = "not tested" if shift.adjusted is None else f"p adjusted {shift.adjusted:.2g}"
    return f"{shift.quantity}, {shift.cases} cases, {told}"
