"""The distances of an image to each task as a bar chart of the scene."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.scene.result_record import current_verdict
from MultiTaskSegLib.task_list import short_name
from OODCheckLib.chart import (
    BLUE_RGB,
    VERMILION_RGB,
    Titles,
    add_series,
    add_table,
    new_chart,
    set_ranges,
    short_title,
    spread,
)
from OODCheckLib.distance_bars import shortest_first

KIND = "distances"
NAMES_PER_LINE = 2  # of tasks below the axis
HEADROOM = 1.35  # room for the legend above the highest bar


def distance_chart(volume_node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLPlotChartNode | None:
    """Draw the distances of the verdict that a volume carries, with the limit, in the scene's one chart for distances.

    The tasks are numbered, and their names stand below the axis: Slicer shows labels of bars as tooltips only. None for
    a volume that has not been checked.
    """
    verdict = current_verdict(volume_node)
    if verdict is None or not verdict.distances:
        return None
    title = _("{image}: distances").format(image=short_title(volume_node.GetName()))
    titles = Titles(title, _numbered_names(verdict), _("distance (1 is typical)"))
    chart = new_chart(volume_node.GetScene(), KIND, titles)
    _add_bars(chart, verdict)
    _add_limit(chart, verdict)
    shown = shortest_first(verdict)
    highest = max(*(verdict.limit_of(task) for task, _distance in shown), *(distance for _task, distance in shown))
    set_ranges(chart, _edges(verdict), (0.0, HEADROOM * highest))
    return chart


def _add_bars(chart: slicer.vtkMRMLPlotChartNode, verdict: Verdict) -> None:
    shown = shortest_first(verdict)
    columns = {
        "number": [float(number) for number in range(1, len(shown) + 1)],
        "task": [short_name(task) for task, _distance in shown],
        "distance": [distance for _task, distance in shown],
    }
    bars = add_series(chart, add_table(chart, columns), ("number", "distance"), _("distance"), BLUE_RGB)
    bars.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatterBar)
    bars.SetLabelColumnName("task")


def _add_limit(chart: slicer.vtkMRMLPlotChartNode, verdict: Verdict) -> None:
    columns = _limit_line(verdict)
    line = add_series(chart, add_table(chart, columns), ("number", "limit"), _("limit"), VERMILION_RGB)
    line.SetLineWidth(3)


def _limit_line(verdict: Verdict) -> dict[str, list[float]]:
    """A line over all bars; steps where each task has a limit of its own."""
    first, last = _edges(verdict)
    if not verdict.limits:
        return {"number": spread(first, last, 2), "limit": [verdict.threshold] * 2}
    limits = [verdict.limit_of(task) for task, _distance in shortest_first(verdict)]
    inner = [edge for number in range(1, len(limits)) for edge in (number + 0.5, number + 0.5)]
    return {"number": [first, *inner, last], "limit": [limit for limit in limits for _end in range(2)]}


def _edges(verdict: Verdict) -> tuple[float, float]:
    """Where the axis of the tasks begins and ends."""
    return 0.4, len(shortest_first(verdict)) + 0.6


def _numbered_names(verdict: Verdict) -> str:
    names = [f"{number} {short_name(task)}" for number, (task, _) in enumerate(shortest_first(verdict), start=1)]
    lines = [names[start : start + NAMES_PER_LINE] for start in range(0, len(names), NAMES_PER_LINE)]
    return "\n".join(",  ".join(line) for line in lines)
