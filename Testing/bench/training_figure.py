"""Learning curves of both trainers against CPU seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from Testing.bench.learning_curve import curve_of
from trainer.report.curves import COLOURS, INK, new_figure


def write_figure(found: dict[str, Any], path: Path) -> None:
    """Draw one panel per dataset and write it (.svg or .png).

    Args:
        found: what `Testing.bench.training` measured.
        path: where to.
    """
    datasets = found["datasets"]
    figure = new_figure(5.0 * max(1, len(datasets)), 3.6)
    panels = figure.subplots(1, max(1, len(datasets)), squeeze=False)[0]
    for axes, (name, of) in zip(panels, datasets.items(), strict=False):
        if of["nnunet"]:
            theirs = curve_of(of["nnunet"]["points"])
            _draw(axes, of["nnunet"]["points"], "nnU-Net v2", INK, "s-")
            threshold = found["share_of_final"] * theirs.final_dice
            axes.axhline(threshold, color=INK, linewidth=0.8, linestyle=":")
            axes.axvline(0.25 * theirs.total_cpu_s, color=INK, linewidth=0.8, linestyle=":")
        for run, colour in zip(of["ours"], COLOURS * len(of["ours"]), strict=False):
            share = run["share_of_nnunet_total"]
            _draw(axes, run["points"], f"ours, {run['precision']}, schedule ends at {share:g} of it", colour, "o-")
        axes.set(title=name, xlabel="CPU seconds of training", ylabel="Dice of held-out images", ylim=(0, 1))
        axes.set_xlim(left=0)
        axes.legend(fontsize=7, frameon=False, loc="lower right")
    figure.savefig(path)


def _draw(axes: Any, points: list[dict[str, Any]], label: str, colour: str, style: str) -> None:
    curve = curve_of(points)
    axes.plot(
        [point.cpu_s for point in curve.points],
        [point.dice for point in curve.points],
        style,
        color=colour,
        label=label,
        markersize=3.5,
        linewidth=1.4,
    )
