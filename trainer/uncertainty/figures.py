"""Pictures of the experiment ``calibration``, drawn from the plain values of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.report.curves import COLOURS, FOREIGN_COLOUR, INK, SOFT, new_figure, plain
from trainer.uncertainty.reliability import CONFIDENCE, FOREGROUND, VOXELS

COLUMNS = 3
FORM_COLOURS = ("#B9C0C8", "#7FB5D5", COLOURS[0])


def short_name(task: str) -> str:
    """A dataset's name without its number.

    >>> short_name("Dataset104_BrainTissueT1")
    'BrainTissueT1'
    """
    return task.split("_", 1)[-1] if task.startswith("Dataset") else task


def readable(name: str) -> str:
    """A key as words."""
    return name.replace("_", " ").replace("tta", "TTA").replace("mc ", "MC ")


def value_text(entry: Mapping[str, Any] | None) -> str:
    """A figure's value; a dash where nothing could be measured."""
    value = None if entry is None else entry["value"]
    return "–" if value is None or value != value else f"{value:.3f}"


def reliability_panels(tasks: Mapping[str, Any], before: str, after: str) -> Figure:
    """One panel per task: observed share of foreground against predicted probability in the ring."""
    figure, panels = _panels(len(tasks), 3.1)
    for axes, (name, task) in zip(panels, tasks.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.0)
        errors = []
        for form, colour, marker in ((before, FOREIGN_COLOUR, "s"), (after, COLOURS[0], "o")):
            table = np.array(task["reliability"][form]["ring"])
            used = table[VOXELS] > 0
            errors.append(value_text(task["calibration"][form].get("ring_ece")))
            axes.plot(
                table[CONFIDENCE][used] / table[VOXELS][used],
                table[FOREGROUND][used] / table[VOXELS][used],
                color=colour, marker=marker, markersize=4, linewidth=1.4, label=readable(form),
            )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        _dress(
            axes, f"{short_name(name)}\nring ECE {errors[0]} → {errors[1]}", "predicted probability", "observed share"
        )
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False
    )
    return figure


def surface_error_bars(tasks: Mapping[str, Any], forms: Sequence[str], best: str, limit: float) -> Figure:
    """ECE of every task under some calibrations, at the true and at the predicted surface.

    Args:
        tasks: as in ``metrics.json``.
        forms: calibrations to show.
        best: the one whose floor at the true surface is shown.
        limit: the bar.
    """
    figure = new_figure(11, 1.5 + 0.19 * len(tasks) * (len(forms) + 1))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, title in (
        (left, "ring_ece", "Within 2 voxels of the true surface"),
        (right, "predicted_ring_ece", "Within 2 voxels of the predicted surface"),
    ):
        for index, form in enumerate(forms):
            _bars(axes, [task["calibration"][form].get(key) for task in tasks.values()], index, len(forms), form)
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1.0, label=f"bar {limit:g}")
        axes.set_xlim(left=0)
        _dress(axes, title, "expected calibration error (95 % interval)", "")
    for row, task in enumerate(tasks.values()):
        floor = task["calibration"][best].get("ideal_ring_ece")
        if floor:
            left.plot([floor["value"]] * 2, [row - 0.42, row + 0.42], color=FOREIGN_COLOUR, linewidth=2.2,
                      label=None if row else "if the probabilities were right")  # fmt: skip
    left.set_yticks(range(len(tasks)), [plain(short_name(name)) for name in tasks], fontsize=8)
    left.set_ylim(len(tasks) - 0.5, -0.5)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9, frameon=False)
    return figure


def _bars(axes: Axes, entries: Sequence[Mapping[str, Any] | None], index: int, count: int, form: str) -> None:
    height = 0.8 / count
    for row, entry in enumerate(entries):
        if entry is None or entry["value"] is None:
            continue
        where = row - 0.4 + (index + 0.5) * height
        label = None if row else readable(form)
        axes.barh(where, entry["value"], height * 0.9, color=FORM_COLOURS[index % len(FORM_COLOURS)], label=label)
        if entry["interval"]:
            axes.plot(entry["interval"], [where, where], color=INK, linewidth=1.0)


def risk_coverage_figure(estimators: Mapping[str, Any]) -> Figure:
    """Share of wrong voxels among those kept, by estimator."""
    figure = new_figure(7.5, 4.0)
    axes = figure.subplots()
    for (name, entry), colour in zip(estimators.items(), COLOURS, strict=False):
        curve = entry["risk_coverage"]
        area = entry["figures"]["near_aurc"]["value"]
        axes.plot(curve["coverage"], curve["risk"], color=colour, linewidth=1.6, label=f"{readable(name)}: {area:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, None))
    _dress(
        axes, "Risk and coverage, body of interest, mean over tasks", "share of voxels kept", "share wrong among them"
    )
    axes.legend(fontsize=8, frameon=False, title="area under the curve", title_fontsize=8)
    return figure


def dice_scatter(tasks: Mapping[str, Any], correlation: float) -> Figure:
    """Predicted against real Dice of every segment."""
    figure = new_figure(7.5, 5.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.0)
    markers = "osD^vPX*<"
    for index, (name, task) in enumerate(tasks.items()):
        segments = task["segments"]
        axes.scatter(segments["predicted_dice"], segments["real_dice"], s=22, alpha=0.75, linewidths=0,
                     color=COLOURS[index % len(COLOURS)], marker=markers[index % len(markers)],
                     label=plain(short_name(name)))  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    _dress(axes, f"Dice of every segment: Spearman correlation {correlation:.2f}", "predicted Dice", "real Dice")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _panels(count: int, size: float) -> tuple[Figure, list[Axes]]:
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = new_figure(size * columns + 0.4, size * rows + 0.2)
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(plain(title), fontsize=10, color=INK, loc="left")
    axes.set_xlabel(xlabel, fontsize=9, color=INK)
    axes.set_ylabel(ylabel, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
