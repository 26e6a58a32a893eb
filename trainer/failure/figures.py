"""Pictures of the experiment ``failure-detection``, drawn from the plain values of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from trainer.failure.confidence import BASELINE, PAIRWISE
from trainer.failure.wording import ROW_NAMES, ordered, row_name
from trainer.report.curves import COLOURS, INK, SOFT, new_figure, plain
from trainer.uncertainty.figures import short_name

COLUMNS = 3
SHOWN = (BASELINE, "entropy_foreground", "ood_score", "expected_dice", "quality_forest", "predicted_dice")
"""Of one pass, the last one what users see; what takes several is shown, too. All rows in one panel cannot be told
apart."""


def risk_coverage_panels(tasks: Mapping[str, Any]) -> Figure:
    """One panel per task: mean risk of what is kept against the share of images kept."""
    count = len(tasks)
    rows = -(-count // COLUMNS)
    columns = min(COLUMNS, count)
    figure = new_figure(max(6.0, 3.6 * columns), 0.9 + 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, task) in zip(grid, tasks.items(), strict=False):
        curves = task["risk_coverage"]
        axes.plot(curves["coverage"], curves["best"], color=SOFT, linestyle="--", linewidth=1.1, label="best order")
        for row, colour, style in _lines(tasks):
            if row in curves:
                label = plain(ROW_NAMES.get(row, row))
                axes.plot(curves["coverage"], curves[row], color=colour, linestyle=style, linewidth=1.6, label=label)
        axes.set_title(plain(f"{short_name(name)}: {task['images']} images"), fontsize=10, color=INK, loc="left")
        axes.set_xlabel("share of images kept", fontsize=9, color=INK)
        axes.set_ylabel("their mean 1 - Dice", fontsize=9, color=INK)
        axes.set(xlim=(0, 1))
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8, colors=INK)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[count:]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in grid[:count] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=8.5, frameon=False
    )
    return figure


def area_bars(means: Mapping[str, Any]) -> Figure:
    """AURC of every confidence, means over tasks with their intervals, the best on top; rows that lack tasks, which say
    so, at the bottom."""
    names = ordered(means)[::-1]
    figure = new_figure(8.0, 1.0 + 0.28 * len(names))
    axes = figure.subplots()
    for height, name in enumerate(names):
        found = means[name]["aurc"]
        colour = SOFT if name == BASELINE else COLOURS[2] if name.startswith(PAIRWISE) else COLOURS[0]
        if found["interval"] is not None:
            axes.plot(
                [100 * limit for limit in found["interval"]], [height, height], color=colour, alpha=0.5, linewidth=2
            )
        axes.plot([100 * found["value"]], [height], marker="o", color=colour)
    axes.set_yticks(range(len(names)), [plain(row_name(means, name)) for name in names], fontsize=8.5)
    axes.set_xlabel("AURC x 100 (lower is better)", fontsize=9, color=INK)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _lines(tasks: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Row, colour and style of every line: solid for what takes one pass, dotted for what takes several, so that each
    kind has all colours to itself."""
    rows = dict.fromkeys(row for task in tasks.values() for row in task["rows"])
    kinds = ([row for row in SHOWN if row in rows], [row for row in rows if row.startswith(PAIRWISE)])
    return [
        (row, colour, style)
        for kind, style in zip(kinds, ("-", ":"), strict=True)
        for row, colour in zip(kind, cycle(COLOURS))
    ]
