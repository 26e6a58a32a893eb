"""Figures about a model: training curves, Dice, out-of-distribution scores, reliability and spectra.

Every function returns a new figure and touches no global state of matplotlib. Names may contain any character.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8C564B", "#7F7F7F", "#B8A000")
"""Told apart also by colour-blind eyes; vermilion is kept for what is out of distribution."""

FOREIGN_COLOUR = "#D55E00"
INK, SOFT = "#1c2128", "#6b7480"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with its own canvas.

    Args:
        width: in inches.
        height: in inches.
    """
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(text: object) -> str:
    """Text that matplotlib draws as it is; a dollar sign would start a formula."""
    return str(text).replace("$", r"\$")


def training_figure(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, learning rate and validation Dice per task over the steps.

    Args:
        records: of a run's ``metrics.jsonl``: ``step`` with ``loss`` and ``lr``, or with ``dice`` ``{task: float}``.
    """
    figure = new_figure(11, 3.4)
    loss_axes, rate_axes, dice_axes = figure.subplots(1, 3)
    for axes, key, title, colour in (
        (loss_axes, "loss", "Training loss", COLOURS[0]),
        (rate_axes, "lr", "Learning rate", COLOURS[1]),
    ):
        steps, values = _series(records, key)
        axes.plot(steps, values, color=colour, linewidth=1.6)
        _dress(axes, title, "step")
    tasks = sorted({task for record in records for task in record.get("dice", {})})
    for task, colour in zip(tasks, _colours(len(tasks)), strict=True):
        points = [(r["step"], r["dice"][task]) for r in records if task in r.get("dice", {})]
        steps, values = [step for step, _ in points], [value for _, value in points]
        dice_axes.plot(steps, values, color=colour, marker="o", markersize=3.5, linewidth=1.6, label=plain(task))
    _dress(dice_axes, "Validation Dice on held-out groups", "step")
    dice_axes.set_ylim(0, 1)
    if tasks:
        dice_axes.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def dice_figure(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """One dot per case and a line at the median, by task and label.

    Args:
        scores: task to label to one Dice per case; NaN (label absent in truth and result) is left out.
    """
    rows = [(task, label, values) for task, labels in scores.items() for label, values in labels.items()]
    figure = new_figure(8, 1.2 + 0.34 * max(1, len(rows)))
    axes = figure.subplots()
    colour_of = dict(zip(scores, _colours(len(scores)), strict=True))
    for height, (task, _, values) in enumerate(rows):
        defined = [value for value in values if not math.isnan(value)]
        _strip(axes, defined, height, colour_of[task])
        if defined:
            axes.plot([np.median(defined)] * 2, [height - 0.32, height + 0.32], color=INK, linewidth=1.8)
    axes.set_yticks(range(len(rows)), [plain(f"{task} · {label}") for task, label, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    _dress(axes, "Dice per case (dot) and median (line)", "Dice")
    return figure


def ood_figure(
    in_distribution: Mapping[str, Sequence[float]],
    foreign: Mapping[str, Sequence[float]],
    threshold: float,
    axis: str = "distance from the known tasks",
) -> Figure:
    """Scores of known tasks and of foreign sources against the threshold.

    Args:
        in_distribution: task to scores of its cases.
        foreign: source to scores.
        threshold: scores above it are flagged.
        axis: what the scores are.
    """
    rows = [*in_distribution.items(), *foreign.items()]
    figure = new_figure(8, 1.4 + 0.34 * max(1, len(rows)))
    axes = figure.subplots()
    for height, (_, scores) in enumerate(rows):
        is_known = height < len(in_distribution)
        _strip(axes, scores, height, COLOURS[0] if is_known else FOREIGN_COLOUR, "o" if is_known else "D")
        flagged = sum(score > threshold for score in scores)
        axes.text(1.01, height, f"{flagged} of {len(scores)} flagged", transform=axes.get_yaxis_transform(), fontsize=8,
                  va="center", color=SOFT)  # fmt: skip
    axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2)
    axes.annotate(f"threshold {threshold:.3g}", (threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -4),
                  textcoords="offset points", va="top", fontsize=8, color=INK)  # fmt: skip
    if in_distribution and foreign:
        axes.axhline(len(in_distribution) - 0.5, color=SOFT, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.9)
    _dress(axes, "Known tasks (blue) and foreign images (orange)", axis)
    return figure


def reliability_figure(
    confidence: NDArray[np.floating], accuracy: NDArray[np.floating], counts: NDArray[np.integer]
) -> Figure:
    """Reliability diagram: how often a voxel is right against how sure the model says it is.

    Args:
        confidence: mean confidence per bin, ``(bins,)``.
        accuracy: share of right voxels per bin, ``(bins,)``.
        counts: voxels per bin, ``(bins,)``; empty bins are left out.
    """
    figure = new_figure(4.6, 4.6)
    axes = figure.subplots()
    used = np.asarray(counts) > 0
    share = np.asarray(counts)[used] / max(1, int(np.sum(counts)))
    gap = float(np.sum(share * np.abs(np.asarray(confidence)[used] - np.asarray(accuracy)[used])))
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1.2, label="perfect")
    axes.plot(np.asarray(confidence)[used], np.asarray(accuracy)[used], color=COLOURS[0], linewidth=1.4, label="model")
    axes.scatter(np.asarray(confidence)[used], np.asarray(accuracy)[used], s=15 + 200 * share, color=COLOURS[0])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    _dress(axes, f"Expected calibration error {gap:.3f}", "confidence")
    axes.set_ylabel("share of right voxels", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


@dataclass(frozen=True)
class SpectrumPanel:
    """Spectrum of one layer.

    Attributes:
        title: name of the layer.
        values: log singular values of the image, ``(channels,)``.
        reference: the same of the training images of the nearest task, ``(images, channels)``.
    """

    title: str
    values: NDArray[np.floating]
    reference: NDArray[np.floating]


def spectrum_figure(panels: Sequence[SpectrumPanel], image: str, task: str, is_ood: bool) -> Figure:
    """Log singular values of an image against the band of the nearest task, one panel per layer.

    Args:
        panels: at least one.
        image: name of the image.
        task: name of the nearest task.
        is_ood: the verdict; said in the title and shown by the colour.
    """
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(max(4.5, 2.9 * columns), 0.8 + 2.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    colour = FOREIGN_COLOUR if is_ood else COLOURS[1]
    for axes, panel in zip(grid, panels, strict=False):
        index = np.arange(1, len(panel.values) + 1)
        low, middle, high = np.percentile(panel.reference, (0, 50, 100), axis=0)
        axes.fill_between(index, low, high, color=COLOURS[0], alpha=0.22, linewidth=0, label=plain(f"range of {task}"))
        axes.plot(index, middle, color=COLOURS[0], linewidth=1.0, label="its median")
        axes.plot(index, panel.values, color=colour, linewidth=1.6, marker=".", markersize=4, label=plain(image))
        _dress(axes, panel.title, "singular value number")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    grid[0].set_ylabel("log singular value", fontsize=9)
    grid[0].legend(fontsize=7, frameon=False)
    verdict = "OUT OF DISTRIBUTION" if is_ood else "in distribution"
    figure.suptitle(plain(f"{image}: {verdict}, nearest task {task}"), fontsize=11, color=colour, fontweight="bold")
    return figure


def _series(records: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    pairs = [(float(record["step"]), float(record[key])) for record in records if key in record]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _strip(axes: Axes, values: Sequence[float], height: float, colour: str, marker: str = "o") -> None:
    # Neighbours in rank go to different heights, so that equal values stay visible without any random jitter.
    ranks = np.argsort(np.argsort(np.asarray(values, dtype=float), kind="stable"), kind="stable")
    offsets = (ranks % 3 - 1) * 0.14 if len(ranks) > 1 else np.zeros(len(ranks))
    axes.scatter(values, height + offsets, s=20, marker=marker, color=colour, alpha=0.75, linewidths=0, zorder=3)


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _dress(axes: Axes, title: str, xlabel: str) -> None:
    axes.set_title(plain(title), fontsize=10, color=INK, loc="left")
    axes.set_xlabel(xlabel, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
