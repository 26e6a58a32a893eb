"""Results of the experiment ``calibration`` as one JSON file and the Markdown page that is generated from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.report.change_list import change_list
from trainer.report.markdown_table import table
from trainer.report.published_json import write_published
from trainer.report.run_folder import write_text_file
from trainer.uncertainty import wording
from trainer.uncertainty.experiment import SCHEMA

PAGE = "calibration.md"


def publish(metrics: Sequence[Path], directory: Path) -> Path:
    """Write ``calibration-DATE.json`` with the results of several models, and the page.

    Args:
        metrics: ``metrics.json`` files of the experiment.
        directory: where to; the date is that of the newest result.

    Returns:
        path of the JSON file.

    Raises:
        DatasetError: a file is not a result of this experiment, or what is in the place of the JSON file are no such
            results.
        UsageError: what is published of that day has other models, too, which would be gone.
    """
    results = [_read(path) for path in metrics]
    date = max(result["created"] for result in results)[:10]
    path = directory / f"calibration-{date}.json"
    # Of one model there may be several results.
    if lost := sorted(_models(_published(path)) - _models(results)) if path.exists() else []:
        remedy = "Give their results, too, or remove the file"
        raise UsageError(f"the results of {', '.join(lost)} would be gone", file=path, remedy=remedy)
    write_published(path, {"schema": SCHEMA, "results": results})
    write_text_file(directory / PAGE, published_page(path))
    return path


def published_page(path: Path) -> str:
    """The page for a published file, with what changed on it."""
    return markdown(json.loads(path.read_text(encoding="utf-8")), path.name, change_list(path.parent, PAGE))


def markdown(published: Mapping[str, Any], name: str, changes: str = "") -> str:
    """The page for the content of a published file.

    Args:
        published: content of the JSON file.
        name: of the JSON file, beside the page.
        changes: what changed on the page.
    """
    parts = [
        "# Calibration and uncertainty",
        f"Generated from [{name}]({name}) by `python -m trainer experiment calibration-page`; nothing is typed in.",
        *wording.DEFINITIONS,
        *filter(None, [changes.rstrip()]),
    ]
    for metrics in published["results"]:
        parts += _model_parts(metrics)
    return "\n\n".join(parts) + "\n"


def _model_parts(metrics: Mapping[str, Any]) -> list[str]:
    tasks, estimators = metrics["tasks"], metrics["estimators"]
    return [
        f"## {metrics['model']['name']}",
        table(wording.BAR_HEADERS, wording.bar_rows(metrics)),
        "### What stands in the way of the bar in the ring",
        table(wording.LIMIT_HEADERS, wording.limit_rows(tasks)),
        "### Calibration, means over tasks",
        table(wording.FORM_HEADERS, wording.form_rows(metrics["forms"])),
        "### Calibration by task",
        table(wording.CALIBRATION_HEADERS, wording.calibration_rows(tasks)),
        "### Uncertainty, means over tasks",
        wording.choice_sentence(metrics),
        table(wording.OVERALL_HEADERS, wording.estimator_rows(estimators)),
        "### Uncertainty by task",
        table(wording.TASK_HEADERS, wording.task_rows(tasks)),
        "### Predicted Dice, segments of all tasks",
        table(wording.DICE_HEADERS, wording.dice_rows(estimators)),
        "### Provenance",
        table(("What", "Value"), wording.provenance_rows(metrics)),
    ]


def _models(results: Sequence[Mapping[str, Any]]) -> Counter[str]:
    return Counter(result["model"]["name"] for result in results)


def _published(path: Path) -> list[dict[str, Any]]:
    remedy = "Remove the file, or publish elsewhere"
    found = _content(path, remedy)
    if not isinstance(found.get("results"), list):
        raise DatasetError("these are not published results of the experiment", file=path, remedy=remedy)
    return list(found["results"])


def _read(path: Path) -> dict[str, Any]:
    result = _content(path, remedy := "Give the metrics.json of a run of the experiment")
    # What is published is a file of several.
    if "results" in result:
        raise DatasetError("this is not a result of the experiment", file=path, remedy=remedy)
    return result


def _content(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"the file cannot be read ({error})", file=path, remedy=remedy) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DatasetError("this is not a result of the experiment", file=path, remedy=remedy)
    return content
