"""The report of the experiment ``failure-detection``: pictures first, then the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.failure import wording
from trainer.failure.figures import area_bars, risk_coverage_panels
from trainer.report.report import Report

CURVES = "Mean risk of the images that are kept, by task; on the dashed line images are in the order of their true Dice"
BARS = "AURC by confidence, means over tasks, with 95 % intervals from drawing patients; orange takes several passes"


def write_page(metrics: Mapping[str, Any], path: Path) -> None:
    """Write the self-contained page."""
    tasks = metrics["tasks"]
    report = Report(f"{metrics['title']}: {metrics['model']['name']}")
    report.add_figure(risk_coverage_panels(tasks), CURVES).add_figure(area_bars(metrics["means"]), BARS)
    for paragraph in wording.DEFINITIONS:
        report.add_text(paragraph)
    report.add_table(wording.TASK_HEADERS, wording.task_table(tasks), "What was measured")
    report.add_heading("Means over tasks")
    report.add_table(wording.ROW_HEADERS, wording.row_table(metrics["means"]), "Lowest AURC first")
    report.add_heading("What the verdict flags and lets pass").add_text(wording.worth_sentence(metrics["verdict"]))
    report.add_table(wording.WORTH_HEADERS, wording.worth_table(metrics["verdict"]), "Means over tasks")
    if metrics["bound"]:
        report.add_heading("Whether the bound on the Dice holds")
        report.add_table(wording.BOUND_HEADERS, wording.bound_table(metrics["bound"]), "Clean images of other patients")
    if metrics["filed_bound"]:
        rows = wording.bound_table(metrics["filed_bound"])
        report.add_heading(wording.FILED_BOUND)
        report.add_table(wording.BOUND_HEADERS, rows, "Clean images of patients whom nothing in the file knows")
    for name, task in tasks.items():
        report.add_heading(name).add_table(wording.ROW_HEADERS, wording.row_table(task["rows"]), "Lowest AURC first")
    report.add_heading("Provenance").add_table(("What", "Value"), wording.provenance(metrics), "How this was made")
    report.write(path)
