"""The report of the experiment ``calibration``: pictures first, then the bars and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.report import Cell, Report
from trainer.uncertainty.figures import (
    dice_scatter,
    readable,
    reliability_panels,
    ring_error_bars,
    risk_coverage_figure,
    short_name,
)
from trainer.uncertainty.findings import BEST_FORM, RING_BAR, SHIPPED

INTRODUCTION = """
All cases are of patients that the model was not trained on, and every temperature was fitted on other patients than
those it is judged on. "Shipped" is the temperature in the model file: it was fitted on these very cases and is shown
for comparison only. Intervals are 95 % bootstrap intervals over patients.

The ring is the set of voxels within 2 voxels of the true surface. Because the truth decides which voxels are looked at,
even perfectly right probabilities have an error there: the orange line says how large it would be if the truth followed
the probabilities exactly. A temperature that is fitted in the ring can go below it, at the price of wrong probabilities
everywhere else, as the error over the whole image shows. The ring around the predicted surface has no such floor.
"""


def write_page(metrics: Mapping[str, Any], path: Path) -> None:
    """Write the self-contained page."""
    tasks, estimators = metrics["tasks"], metrics["estimators"]
    forms = list(next(iter(tasks.values()))["calibration"])
    report = Report(f"Calibration and uncertainty of {metrics['model']['name']}")
    report.add_figure(
        ring_error_bars(tasks, forms, BEST_FORM, RING_BAR),
        "Ring ECE by task, before and after each form of calibration",
    )
    report.add_figure(
        reliability_panels(tasks, forms[0], BEST_FORM),
        "Reliability in the ring before and after calibration; on the dashed line probabilities are right",
    )
    report.add_figure(risk_coverage_figure(estimators), "Lower is better: fewer wrong voxels are kept")
    correlation = estimators[SHIPPED]["figures"]["expected_dice_spearman"]["value"]
    report.add_figure(dice_scatter(tasks, correlation), "Predicted and real Dice of every segment that was found")
    report.add_text(INTRODUCTION)
    report.add_heading("Bars").add_table(["What", "Measured", "Bar", "Met"], bar_rows(metrics), "Set beforehand")
    report.add_heading("Calibration").add_table(
        CALIBRATION_HEADERS, calibration_rows(tasks), "Errors of the foreground probability (ECE: 10 bins)"
    )
    report.add_heading("Uncertainty").add_table(
        ESTIMATOR_HEADERS, estimator_rows(estimators), "Means over tasks; segments of all tasks together"
    )
    report.add_table(TASK_HEADERS, task_rows(tasks), "The same by task")
    report.add_heading("Provenance").add_table(["What", "Value"], provenance_rows(metrics), "How this was made")
    report.write(path)


CALIBRATION_HEADERS = [
    "Task", "Calibration", "Temperature", "Ring ECE", "Ring ECE, mean of cases", "Ring MCE", "Ring ACE", "Floor",
    "ECE at the predicted surface", "Whole ECE", "Whole Brier",
]  # fmt: skip
CALIBRATION_KEYS = (
    "ring_ece", "ring_ece_mean_of_cases", "ring_mce", "ring_ace", "ideal_ring_ece", "predicted_ring_ece", "whole_ece",
    "whole_brier",
)  # fmt: skip
ESTIMATOR_HEADERS = [
    "Estimator", "Error AUROC, body", "Error AUROC, whole", "AURC, body", "Ring ECE", "Dice Spearman", "Dice error",
    "Seconds",
]  # fmt: skip
ESTIMATOR_KEYS = (
    "near_auroc", "whole_auroc", "near_aurc", "ring_ece", "expected_dice_spearman", "expected_dice_error", "seconds",
)  # fmt: skip
TASK_HEADERS = ["Task", "Estimator", "Passes", *ESTIMATOR_HEADERS[1:]]


def bar_rows(metrics: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per bar."""
    return [
        [bar["what"], figure(bar), f"{'≥' if bar['at_least'] else '≤'} {bar['limit']:g}", "yes" if bar["met"] else "no"]
        for bar in metrics["bars"]
    ]


def calibration_rows(tasks: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per task and calibration."""
    rows: list[list[Cell]] = []
    for name, task in tasks.items():
        for form, figures in task["calibration"].items():
            cells = [figure(figures[key]) if key in figures else None for key in CALIBRATION_KEYS]
            rows.append([short_name(name), readable(form), temperatures(task["scalings"][form]), *cells])
    return rows


def estimator_rows(estimators: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per estimator."""
    return [
        [readable(name), *(figure(entry["figures"][key]) for key in ESTIMATOR_KEYS)]
        for name, entry in estimators.items()
    ]


def task_rows(tasks: Mapping[str, Any]) -> list[list[Cell]]:
    """One row per task and estimator."""
    return [
        [short_name(name), readable(estimator), entry["passes"], *(figure(entry[key]) for key in ESTIMATOR_KEYS)]
        for name, task in tasks.items()
        for estimator, entry in task["estimators"].items()
    ]


def provenance_rows(metrics: Mapping[str, Any]) -> list[list[Cell]]:
    """Command, versions and digests."""
    rows: list[list[Cell]] = [
        ["Command", metrics["command"]],
        ["Commit", metrics["commit"]],
        ["Date", metrics["created"]],
        ["Model", f"{metrics['model']['name']} {metrics['model']['sha256']}"],
    ]
    rows += [["Ensemble member", f"{member['name']} {member['sha256']}"] for member in metrics["ensemble"]]
    return [*rows, ["Versions", ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())]]


def figure(entry: Mapping[str, Any]) -> str:
    """A figure with its interval; a dash where nothing could be measured.

    >>> figure({"value": 0.25, "interval": [0.1, 0.5]})
    '0.250 (0.100 to 0.500)'
    """
    value = entry["value"]
    if value is None or value != value:
        return "–"
    if entry["interval"] is None:
        return f"{value:.3f}"
    low, high = entry["interval"]
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def temperatures(scalings: Sequence[Mapping[str, Any]]) -> str:
    """The temperatures of the folds in words: smallest to largest, and the same near the predicted surface."""
    parts = [_range([scaling["temperature"] for scaling in scalings])]
    near = [s["surface_temperature"] for s in scalings if s["surface_temperature"] is not None]
    return " / ".join([*parts, *([_range(near)] if near else [])])


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
