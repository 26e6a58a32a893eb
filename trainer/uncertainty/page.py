"""The report of the experiment ``calibration``: pictures first, then the bars and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.report.report import Report
from trainer.uncertainty import wording
from trainer.uncertainty.figures import dice_scatter, reliability_panels, risk_coverage_figure, surface_error_bars
from trainer.uncertainty.findings import BEST_FORM, RING_BAR, SHIPPED

SHOWN_FORMS = ("uncalibrated", "temperature", BEST_FORM)


def write_page(metrics: Mapping[str, Any], path: Path) -> None:
    """Write the self-contained page."""
    tasks, estimators = metrics["tasks"], metrics["estimators"]
    report = Report(f"Calibration and uncertainty of {metrics['model']['name']}")
    report.add_figure(
        surface_error_bars(tasks, SHOWN_FORMS, BEST_FORM, RING_BAR),
        "Calibration error by task, before and after. Orange: what exactly right probabilities would have there",
    )
    report.add_figure(
        reliability_panels(tasks, SHOWN_FORMS[0], BEST_FORM),
        "Reliability within 2 voxels of the true surface; on the dashed line probabilities are right",
    )
    report.add_figure(risk_coverage_figure(estimators), "Lower is better: fewer wrong voxels are kept")
    correlation = estimators[SHIPPED]["figures"]["expected_dice_spearman"]["value"]
    report.add_figure(dice_scatter(tasks, correlation), "Predicted and real Dice of every segment that was found")
    for paragraph in wording.DEFINITIONS:
        report.add_text(paragraph)
    report.add_heading("Bars").add_table(wording.BAR_HEADERS, wording.bar_rows(metrics), "Set beforehand")
    report.add_heading("What stands in the way of the bar in the ring").add_table(
        wording.LIMIT_HEADERS, wording.limit_rows(tasks), "Of the calibration that ships, fitted on other patients"
    )
    report.add_heading("Calibration").add_table(
        wording.FORM_HEADERS, wording.form_rows(metrics["forms"]), "Means over tasks; segments of all tasks together"
    )
    report.add_table(wording.CALIBRATION_HEADERS, wording.calibration_rows(tasks), "By task")
    report.add_heading("Uncertainty").add_text(wording.choice_sentence(metrics)).add_table(
        wording.OVERALL_HEADERS,
        wording.estimator_rows(estimators),
        "Means over tasks; segments of all tasks together",
    )
    report.add_table(wording.TASK_HEADERS, wording.task_rows(tasks), "By task")
    report.add_heading("Predicted Dice").add_table(
        wording.DICE_HEADERS, wording.dice_rows(estimators), "Segments of all tasks together"
    )
    report.add_heading("Provenance").add_table(["What", "Value"], wording.provenance_rows(metrics), "How this was made")
    report.write(path)
