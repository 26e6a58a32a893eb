"""Plots of a multi-task experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainer.multi_task.measurement import REGIONS
from trainer.report.curves import INK, SOFT, new_figure, plain
from trainer.transfer.claim import number
from trainer.uncertainty.reliability import CONFIDENCE, FOREGROUND, VOXELS

PALETTE = ("#1f6feb", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#0a7d8c", "#bf3989", "#57606a")
OURS_COLOUR = "#1f6feb"
Floats = NDArray[np.float64]
FEWEST_VOXELS = 20
"""In a bin, below which its share of foreground says little."""


def forest_plot(compared: Mapping[str, Any], key: str, words: str, datasets: int) -> Figure:
    """Differences of one arm from another by dataset, with intervals, and their mean.

    Args:
        compared: entry of ``against_reference`` or ``ours_against``.
        key: figure.
        words: what it is.
        datasets: how many the study has.
    """
    found = compared["figures"][key]
    rows = [(name, own["value"], own["interval"]) for name, own in found["by_dataset"].items()]
    rows = [row for row in rows if not np.isnan(number(row[1]))]
    mean = "mean of all" if len(rows) == datasets else with_datasets("mean", len(rows), datasets)
    shown = [*rows, (mean, found["mean"], found["interval"])]
    figure = new_figure(8.4, 1.1 + 0.36 * len(shown))
    axes: Axes = figure.subplots()
    for place, (_, value, limits) in enumerate(reversed(shown)):
        colour, is_mean = (INK, True) if place == 0 else (OURS_COLOUR, False)
        if limits is not None:
            axes.plot(limits, [place, place], color=colour, linewidth=2.4 if is_mean else 1.6)
        axes.plot([number(value)], [place], marker="D" if is_mean else "o", color=colour, markersize=7)
    axes.axvline(0, color=SOFT, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(shown)), [plain(name) for name, _, _ in reversed(shown)], fontsize=9)
    axes.set_xlabel(plain(f"{words}: how far {compared['arm']} is ahead of {compared['reference']}"), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def gain_by_labels(regimes: Sequence[Mapping[str, Any]], key: str, words: str) -> Figure:
    """Mean lead of every arm over the reference against the number of groups with labels.

    Args:
        regimes: at least one.
        key: figure.
        words: what it is.
    """
    figure = new_figure(7.4, 4.2)
    axes: Axes = figure.subplots()
    places = list(range(len(regimes)))
    arms = [one["arm"] for one in regimes[0]["against_reference"]]
    for colour, arm in zip(PALETTE * (1 + len(arms) // len(PALETTE)), arms, strict=False):
        found = [next(one for one in regime["against_reference"] if one["arm"] == arm) for regime in regimes]
        means = [number(one["figures"][key]["mean"]) for one in found]
        # Two arms may both be measured on a dataset and not in this figure.
        fewest = min(one["figures"][key]["compared"] for one in found)
        words_of_arm = with_datasets(arm, fewest, regimes[0]["bars"][0]["datasets"])
        axes.plot(places, means, marker="o", color=colour, label=plain(words_of_arm), linewidth=1.6)
        for place, one in zip(places, found, strict=True):
            if (limits := one["figures"][key]["interval"]) is not None:
                axes.plot([place, place], limits, color=colour, linewidth=1, alpha=0.5)
    axes.axhline(0, color=SOFT, linewidth=1, linestyle="--")
    axes.set_xticks(places, [labels_text(regime["labelled_groups"]) for regime in regimes])
    axes.set_xlabel("patients with labels, of each dataset")
    axes.set_ylabel(plain(f"{words}: lead over {regimes[0]['against_reference'][0]['reference']}"), fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def reliability_diagram(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> Figure:
    """Share of foreground against its probability near the true surface, all datasets with equal weight.

    Args:
        rows: of one number of labels.
        arms: which to show.
    """
    figure = new_figure(6.4, 4.6)
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
    datasets = len({row["dataset"] for row in rows})
    for colour, arm in zip(PALETTE * (1 + len(arms) // len(PALETTE)), arms, strict=False):
        tables = [np.asarray(row["reliability"])[REGIONS.index("ring")] for row in rows if row["arm"] == arm]
        if not tables:
            continue
        curves = [_curve(table) for table in tables]
        with np.errstate(invalid="ignore"):
            confidence, share = (_mean_by_bin([curve[part] for curve in curves]) for part in (0, 1))
        label = plain(with_datasets(arm, len(tables), datasets))
        axes.plot(confidence, share, marker="o", markersize=4, color=colour, label=label, linewidth=1.4)
    axes.set_xlabel("foreground probability, within 2 voxels of the true surface")
    axes.set_ylabel("share that is foreground")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def compute_bars(compute: Mapping[str, Mapping[str, float | None]], count: int) -> Figure:
    """CPU minutes of every arm for one number of labels."""
    found = {arm: number(seconds) / 60 for arm, seconds in compute[str(count)].items()}
    figure = new_figure(7.4, 0.9 + 0.34 * len(found))
    axes: Axes = figure.subplots()
    axes.barh([plain(arm) for arm in reversed(found)], [found[arm] for arm in reversed(found)], color=OURS_COLOUR)
    axes.set_xlabel("CPU minutes for networks of all datasets, one seed")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def with_datasets(words: str, count: int, of: int) -> str:
    """Words about something that rests on a number of datasets; where these are not all, it is said.

    >>> with_datasets("joint", 4, 4), with_datasets("nnunet", 2, 4)
    ('joint', 'nnunet (2 of 4)')
    """
    return f"{words} ({count} of {of})" if count < of else words


def labels_text(count: int) -> str:
    """For people.

    >>> labels_text(5), labels_text(0)
    ('5', 'all')
    """
    return str(count) if count else "all"


def _curve(table: Floats) -> tuple[Floats, Floats]:
    voxels = table[VOXELS]
    is_filled = voxels >= FEWEST_VOXELS
    safe = np.where(is_filled, voxels, 1)
    return (
        np.where(is_filled, table[CONFIDENCE] / safe, np.nan),
        np.where(is_filled, table[FOREGROUND] / safe, np.nan),
    )


def _mean_by_bin(curves: Sequence[Floats]) -> Floats:
    stacked = np.stack(curves)
    counts = (~np.isnan(stacked)).sum(axis=0)
    return np.where(counts > 0, np.nansum(stacked, axis=0) / np.maximum(counts, 1), np.nan)
