"""Findings of ``failure-detection`` for ``docs/results``: a JSON file with its picture, and a page of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.failure import wording
from trainer.failure.figures import risk_coverage_panels
from trainer.failure.page import CURVES
from trainer.report.change_list import change_list
from trainer.report.markdown_table import table
from trainer.report.published_study import StudyKind, file_words, study_path
from trainer.report.report import png_bytes

PAGE = "failure-detection.md"
FILES = "failure-detection-*.json"


def publish(metrics: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``failure-detection-DATE-TITLE-MODEL.json``, its picture, and the page of all such files in the folder.

    What the same model gave under this title before is replaced, and nothing else.

    Args:
        metrics: from `trainer.failure.experiment.run_failure_detection`.
        folder: where to; the date is that of the result.

    Returns:
        Paths of the JSON file and of the page.

    Raises:
        UsageError: another title and model are spelt alike in file names, or a later result of these is there.
    """
    path = publication_path(folder, metrics)
    return KIND.publish(path, dict(metrics), lambda found: {"": png_bytes(risk_coverage_panels(found["tasks"]))})


def publication_path(folder: Path, metrics: Mapping[str, Any]) -> Path:
    """Where the figures of a day, a title and a model lie."""
    words = file_words(f"{metrics['title']} {metrics['model']['name']}")
    return study_path(folder, "failure-detection", metrics["created"][:10], words)


def published_page(folder: Path) -> str:
    """The page of all published files of a folder."""
    parts = [
        "# Failure detection",
        "Made by `python -m trainer experiment failure-detection` with `--publish`; nothing on this page is typed by "
        "hand.",
        *wording.DEFINITIONS,
        *filter(None, [change_list(folder, PAGE).rstrip()]),
    ]
    for path in sorted(folder.glob(FILES)):
        parts += _section(json.loads(path.read_text(encoding="utf-8")), path)
    return "\n\n".join(parts) + "\n"


def _section(metrics: Mapping[str, Any], path: Path) -> list[str]:
    parts = [
        f"## {metrics['title']}, {metrics['model']['name']}",
        f"Figures: [{path.name}]({path.name}), from commit `{metrics['commit'] or 'unknown'}`.",
        f"![{CURVES}]({path.with_suffix('.png').name})",
        "### What was measured",
        table(wording.TASK_HEADERS, wording.task_table(metrics["tasks"])),
        "### Means over tasks",
        table(wording.ROW_HEADERS, wording.row_table(metrics["means"])),
        "### What the verdict flags and lets pass",
        wording.worth_sentence(metrics["verdict"]),
        table(wording.WORTH_HEADERS, wording.worth_table(metrics["verdict"])),
    ]
    if metrics["bound"]:
        parts += ["### Whether the bound on the Dice holds"]
        parts += [table(wording.BOUND_HEADERS, wording.bound_table(metrics["bound"]))]
    # Findings from before it was asked have none.
    if metrics.get("filed_bound"):
        parts += [f"### {wording.FILED_BOUND}"]
        parts += [table(wording.BOUND_HEADERS, wording.bound_table(metrics["filed_bound"]))]
    for name, task in metrics["tasks"].items():
        parts += [f"### {name}", table(wording.ROW_HEADERS, wording.row_table(task["rows"]))]
    return [*parts, "### Provenance", table(("What", "Value"), wording.provenance(metrics))]


KIND = StudyKind(
    "failure-detection",
    PAGE,
    published_page,
    lambda content: (content["title"], content["model"]["name"]),
    re.compile(""),
)
