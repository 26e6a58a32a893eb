"""The distances of an image to each task as bars, drawn with the means of rich text."""

from __future__ import annotations

import html

from slicer.i18n import tr as _

from MultiTaskSegLib.panel.verdict_banner import BAD_COLOUR, GOOD_COLOUR
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.task_list import short_name

SHOWN_TASKS = 8
LONGEST_BAR_PERCENT = 60  # the rest of the cell is for the figure


def nearest_first(verdict: Verdict) -> list[tuple[str, float]]:
    """Tasks with their distances: the nearest task of the verdict, which is found in common units, then by distance."""
    return sorted(verdict.distances.items(), key=lambda item: (item[0] != verdict.nearest_task, item[1]))


def distance_bars(verdict: Verdict) -> str:
    """A table of the nearest tasks, each with a bar; green up to the limit, red beyond. Empty when there are none."""
    if not verdict.distances:
        return ""
    limit, shown = verdict.threshold, nearest_first(verdict)[:SHOWN_TASKS]
    longest = max(limit, *(distance for _name, distance in shown))
    head = html.escape(_("Distance to each training task (limit {limit:.2f})").format(limit=limit))
    rows = "".join(_row(name, distance, limit, longest) for name, distance in shown)
    hidden = len(verdict.distances) - len(shown)
    more = html.escape(_("and {count} tasks farther away").format(count=hidden)) if hidden else ""
    units = "" if verdict.distances[shown[0][0]] <= min(verdict.distances.values()) else f"<p>{_units_words()}</p>"
    return f'<p><b>{head}</b></p><table width="100%" cellspacing="2">{rows}</table>{more}{units}'


def _units_words() -> str:
    """Why a shorter bar than the first one is not that of the nearest task."""
    return html.escape(
        _("Each bar is in units of its own task, which differ; the first task is the nearest in common units.")
    )


def _row(name: str, distance: float, limit: float, longest: float) -> str:
    colour = GOOD_COLOUR if distance <= limit else BAD_COLOUR
    percent = max(1, round(LONGEST_BAR_PERCENT * distance / longest))
    bar = f'<td width="{percent}%" bgcolor="{colour}">&nbsp;</td><td>&nbsp;{distance:.2f}</td>'
    return (
        f'<tr><td width="40%">{html.escape(short_name(name))}</td><td width="60%">'
        f'<table width="100%" cellspacing="0" cellpadding="0"><tr>{bar}</tr></table></td></tr>'
    )
