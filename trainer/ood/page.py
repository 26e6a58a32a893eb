"""The benchmark's page: a picture and a table for every family, the shipped check first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trainer.ood.catalogue import ARTEFACT
from trainer.report.curves import COLOURS, INK, SOFT, new_figure, plain
from trainer.report.report import Report

OWN = "whitened"
UNTRAINED = "untrained network"
CONTROLS = ("control", UNTRAINED, "histogram")


def write_page(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the self-contained page for all models."""
    report = Report("Out-of-distribution benchmark")
    for result in results:
        report.add_heading(str(result["model"]))
        _add_shipped(report, result["shipped"])
        families = list(next(iter(result["detectors"].values())))
        for family in families:
            count = next(iter(result["detectors"].values()))[family]["images"]
            report.add_figure(
                family_figure(result["detectors"], family),
                f"{family}: {count} images. Mean AUROC over the sources with its 95 % interval over patients; "
                "blue: this project, grey: controls",
            )
        if ARTEFACT in families:
            report.add_figure(artefact_figure(result["detectors"]), "AUROC by kind of artefact, three severities each")
        report.add_table(["Detector", *families], detector_rows(result["detectors"], families), "AUROC (FPR95)")
    report.write(path)


def detector_rows(detectors: Mapping[str, Any], families: Sequence[str]) -> list[list[str]]:
    """A row per detector: name, then ``AUROC (FPR95)`` of each family."""
    return [
        [name, *(f"{figures[f]['auroc']:.3f} ({figures[f]['fpr95']:.2f})" for f in families)]
        for name, figures in sorted(detectors.items(), key=lambda item: -_mean(item[1]))
    ]


def family_figure(detectors: Mapping[str, Any], family: str) -> Figure:
    """AUROC of every detector with its interval, the best on top."""
    ordered = sorted(detectors, key=lambda name: detectors[name][family]["auroc"])
    figure = new_figure(8.0, 1.2 + 0.24 * len(ordered))
    axes = figure.add_subplot()
    for height, name in enumerate(ordered):
        values = detectors[name][family]
        colour = _colour(name)
        if values["auroc_interval"] is not None:
            axes.plot(values["auroc_interval"], [height, height], color=colour, linewidth=2, alpha=0.6)
        axes.plot([values["auroc"]], [height], marker="o", color=colour)
    axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(ordered)), [plain(name) for name in ordered], fontsize=8)
    axes.set_xlabel("AUROC", color=INK)
    axes.set_xlim(right=1.01)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(plain(family), loc="left", color=INK, fontsize=10)
    return figure


def artefact_figure(detectors: Mapping[str, Any]) -> Figure:
    """AUROC of every detector for every kind of artefact."""
    ordered = sorted(detectors, key=lambda name: -detectors[name][ARTEFACT]["auroc"])
    kinds = list(detectors[ordered[0]][ARTEFACT]["auroc_by_source"])
    values = np.array([[detectors[n][ARTEFACT]["auroc_by_source"][k] for k in kinds] for n in ordered])
    figure = new_figure(4.5 + 0.5 * len(kinds), 1.8 + 0.25 * len(ordered))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="viridis", vmin=0.5, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "black" if value > 0.8 else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=ink)
    axes.set_xticks(range(len(kinds)), [k.replace("_", " ") for k in kinds], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(ordered)), [plain(name) for name in ordered], fontsize=8)
    return figure


def _add_shipped(report: Report, shipped: Mapping[str, Any]) -> None:
    rows: list[list[str | float | int | None]] = [
        ["signature", f"{shipped['variant']}, {', '.join(shipped['layers'])}"],
        *([f"limit, {task}", limit] for task, limit in shipped["limits"].items()),
        ["specificity on held-out images, limits from other patients", shipped["specificity"]],
        ["held-out images", shipped["known_images"]],
        ["false alarms on known images, patients left out of everything", shipped["false_alarms"]["rate"]],
        *([f"false alarms, {task}", found["rate"]] for task, found in shipped["false_alarms"]["by_task"].items()),
        ["task recognised", shipped["recognised"]],
        *([f"sensitivity, {family}", value] for family, value in shipped["sensitivity"].items()),
        *([f"mean p-value, {task}", found["mean_p_value"]] for task, found in shipped["p_value_within_tasks"].items()),
        *([f"uniform within {task}: p", found["p"]] for task, found in shipped["p_value_within_tasks"].items()),
    ]
    report.add_table(["The check as it ships", "Value"], rows, "At the shipped kind of limits")


def _mean(figures: Mapping[str, Any]) -> float:
    return float(np.mean([values["auroc"] for values in figures.values()]))


def _colour(name: str) -> str:
    if name.startswith(OWN):
        return COLOURS[0]
    return "#9aa3ad" if name.startswith(CONTROLS) else COLOURS[2]
