"""The report of a transfer experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from trainer.recommendation.predictor import RICHNESS, SPECTRAL
from trainer.report.report import Report
from trainer.transfer import wording
from trainer.transfer.figures import detection_curves, gain_map, prediction_scatter


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Write the self-contained page.

    Args:
        result: of `trainer.transfer.findings.findings`, with ``command`` and ``commit``.
        path: HTML file.
    """
    targets, prediction = result["targets"], result["prediction"]
    report = Report(result["title"])
    for figure, caption in figures(result).values():
        report.add_figure(figure, caption)
    for target in targets:
        report.add_verdict(wording.claim_sentence(target), target["claim"]["verdict"] == "holds")
    for sentence in wording.trouble_sentences(result):
        report.add_verdict(sentence, False)
    for paragraph in wording.DEFINITIONS:
        report.add_text(paragraph)
    for target in targets:
        report.add_heading(f"Target {target['name']}")
        report.add_table(wording.TARGET_HEADERS, wording.target_rows(target), "Mean over seeds (95 % interval)")
        rows = wording.detection_rows(target)
        if rows:
            report.add_table(wording.DETECTION_HEADERS, rows, "Lesions, at the model's own labels")
    report.add_heading("Foreseen without training").add_table(
        wording.PREDICTION_HEADERS, wording.prediction_rows(prediction), f"Bar: at least {prediction['bar']}"
    )
    report.add_heading("How this was made")
    report.add_text(f"Command: {result['command']}. Commit: {result['commit'] or 'unknown'}.")
    report.write(path)


def figures(result: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Pictures with their captions by name; of what was not measured there is none."""
    found = {
        "gains": (
            gain_map(result["targets"]),
            "Framed: segmentation in the target's domain. Asterisk: not 0 (Student's test over seeds, corrected for "
            "the number of sources)",
        )
    }
    curves = detection_curves(result["targets"])
    if curves is not None:
        found["detection"] = (curves, "Lesions found at most at so many false positives, mean over seeds per threshold")
    if result["prediction"]["pairs"]:
        # Figures that were published before the effective rank was looked at have only the nearness.
        is_known = RICHNESS in result["prediction"]["predictors"]
        name, what = (RICHNESS, "log effective rank") if is_known else (SPECTRAL, "spectral nearness")
        found["foreseen"] = (prediction_scatter(result["prediction"], name), f"Measured gain against the {what}")
    return found
