"""The distances of an image to each task as bars, drawn with the means of rich text."""

from __future__ import annotations

import html

from slicer.i18n import tr as _

from MultiTaskSegLib.picture.verdict_colour import BAD_COLOUR, GOOD_COLOUR
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.task_list import short_name

SHOWN_TASKS = 8
LONGEST_BAR_PERCENT = 45  # the rest of the cell is for the figure, also in a narrow panel


def shortest_first(verdict: Verdict) -> list[tuple[str, float]]:
    """The tasks that are shown, with their distances, in the order of their bars; the nearest task is always there."""
    ordered = sorted(verdict.distances.items(), key=lambda item: item[1])
    shown = ordered[:SHOWN_TASKS]
    nearest = [item for item in ordered[SHOWN_TASKS:] if item[0] == verdict.nearest_task]
    return [*shown[: SHOWN_TASKS - 1], *nearest] if nearest else shown


def distance_bars(verdict: Verdict) -> str:
    """A table of the nearest tasks, each with a bar; green up to its limit, red beyond. Empty when there are none."""
    if not verdict.distances:
        return ""
    limit, shown = verdict.threshold, shortest_first(verdict)
    longest = max(limit, *(distance for _name, distance in shown))
    words = _("Distance to each training task (limit {limit:.2f})")
    if verdict.limits:
        words = _("Distance to each training task (limit of the nearest: {limit:.2f})")
    head = html.escape(words.format(limit=limit))
    rows = "".join(
        _row(
            f"{number} {short_name(name)}",
            _figure(name, distance, verdict),
            distance / longest,
            distance <= verdict.limit_of(name),
        )
        for number, (name, distance) in enumerate(shown, start=1)
    )
    hidden = len(verdict.distances) - len(shown)
    more = html.escape(_("and {count} tasks farther away").format(count=hidden)) if hidden else ""
    is_plain = shown[0][0] == verdict.nearest_task or verdict.nearest_task not in verdict.distances
    units = "" if is_plain else f"<p>{_units_words()}</p>"
    return f'<p><b>{head}</b></p><table width="100%" cellspacing="2">{rows}</table>{more}{units}'


def _figure(task: str, distance: float, verdict: Verdict) -> str:
    is_nearest = task == verdict.nearest_task
    return _("{distance:.2f} (nearest)").format(distance=distance) if is_nearest else f"{distance:.2f}"


def _units_words() -> str:
    """Why the shortest bar is not that of the nearest task."""
    return html.escape(
        _("Each bar is in units of its own task, which differ; the nearest task is found in common units.")
    )


def _row(name: str, figure: str, share: float, is_within: bool) -> str:
    colour = GOOD_COLOUR if is_within else BAD_COLOUR
    percent = max(1, round(LONGEST_BAR_PERCENT * share))
    bar = f'<td width="{percent}%" bgcolor="{colour}">&nbsp;</td><td>&nbsp;{html.escape(figure)}</td>'
    return (
        f'<tr><td width="40%">{html.escape(name)}</td><td width="60%">'
        f'<table width="100%" cellspacing="0" cellpadding="0"><tr>{bar}</tr></table></td></tr>'
    )
