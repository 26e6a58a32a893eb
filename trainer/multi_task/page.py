"""The report of a multi-task experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trainer.multi_task import wording
from trainer.multi_task.figures import compute_bars, forest_plot, gain_by_labels, labels_text, reliability_diagram
from trainer.report.report import Report
from trainer.transfer.claim import number

BY_DATASET = ("dice", "hausdorff95", "surface_dice", "ring_ece", "auroc", "lesion_f1")


def write_page(result: Mapping[str, Any], path: Path, cases: Path) -> None:
    """Write the self-contained page.

    Args:
        result: content of ``metrics.json``.
        path: HTML file.
        cases: folder of the pictures of cases.
    """
    report = Report(result["title"])
    for figure, caption in figures(result).values():
        report.add_figure(figure, caption)
    for entry in result["cases"]:
        report.add_png((cases / entry["picture"]).read_bytes(), wording.case_caption(result, entry))
    for regime in result["regimes"]:
        report.add_verdict(wording.verdict_sentence(result, regime), all(bar["met"] for bar in regime["bars"]))
    for sentence in wording.folds_sentences(result):
        report.add_text(sentence)
    for sentence in wording.trouble_sentences(result):
        report.add_verdict(sentence, False)
    for name, why in result["picture_failures"].items():
        report.add_text(f"There is no picture of cases of {name}: {why}")
    for paragraph in wording.definitions(result):
        report.add_text(paragraph)
    for regime in result["regimes"]:
        report.add_heading(f"{labels_text(regime['labelled_groups'])} patients with labels")
        for sentence in (*wording.shortage_sentences(result, regime), *wording.empty_sentences(regime)):
            report.add_text(sentence)
        headers, rows = wording.summary_rows(result, regime)
        report.add_table(headers, rows, "Means over datasets")
        headers, rows = wording.peer_rows(result, regime)
        if rows:
            report.add_table(headers, rows, "What nnU-Net's trainings were given, and what they did")
        for key in BY_DATASET:
            headers, rows = wording.dataset_rows(result, regime, key)
            if rows:
                report.add_table(headers, rows, f"{wording.WORDS[key]} (95 % interval)")
        for compared in regime["ours_against"]:
            title = f"Dice: how far {compared['arm']} is ahead of {compared['reference']}"
            if rows := wording.comparison_rows(compared, "dice"):
                report.add_table(["Dataset", "Difference", "p"], rows, title)
    report.add_heading("How this was made")
    report.add_text(f"Command: {result['command']}. Commit: {result['commit'] or 'unknown'}.")
    report.write(path)


def figures(result: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Pictures with their captions by name; of what was not measured there is none."""
    found: dict[str, tuple[Figure, str]] = {}
    ours, reference = result["ours"], result["reference"]
    for regime in result["regimes"]:
        people = labels_text(regime["labelled_groups"])
        for compared in regime["against_reference"]:
            if compared["arm"] != ours or not compared["datasets"]:
                continue
            for key in ("dice", "ring_ece"):
                found[f"forest-{key}-{people}"] = (
                    forest_plot(compared, key, wording.WORDS[key], len(result["datasets"])),
                    f"{people} patients with labels: {wording.WORDS[key]} of {ours} against {reference}, right of the "
                    "line is better",
                )
        if regime["rows"]:
            shown = [arm for arm in result["arms"] if any(row["arm"] == arm for row in regime["rows"])]
            found[f"reliability-{people}"] = (
                reliability_diagram(regime["rows"], shown),
                f"{people} patients with labels: on the dashed line probabilities are right (mean over datasets)",
            )
    # Against one number of labels nothing can be seen.
    if len(result["regimes"]) > 1 and result["regimes"][0]["against_reference"]:
        words = "Mean lead over datasets against the number of labels"
        found["gain"] = (gain_by_labels(result["regimes"], "dice", "Dice"), words)
    last = result["regimes"][-1]["labelled_groups"]
    # A bar of an arm on fewer datasets would look like one that costs less.
    limited = result.get("limited", {})
    on_all = {
        count: {arm: s for arm, s in own.items() if arm not in limited} for count, own in result["compute"].items()
    }
    folds = f", all {count} folds together" if (count := wording.folds_of(result)) else ""
    if not all(np.isnan(number(seconds)) for seconds in on_all[str(last)].values()):
        found["compute"] = (compute_bars(on_all, last), f"What the arms cost, measured{folds}")
    return found
