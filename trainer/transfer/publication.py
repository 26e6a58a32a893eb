"""Findings of transfer experiments for ``docs/results``: a JSON file with its pictures each, and a page of them all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.report.change_list import change_list
from trainer.report.markdown_table import table
from trainer.report.origin import machine_facts
from trainer.report.published_study import StudyKind, file_words, study_path
from trainer.report.report import png_bytes
from trainer.transfer import wording
from trainer.transfer.page import figures

PAGE = "transfer.md"
FILES = "transfer-*.json"


def publish(result: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``transfer-DATE-TITLE.json``, its pictures, and the page of all such files in the folder.

    Args:
        result: from `trainer.transfer.experiment.run_transfer`.
        folder: where to; the date is that of the result.

    Returns:
        Paths of the JSON file and of the page.

    Raises:
        UsageError: another title is spelt alike in file names, or a later result of this one is there.
    """
    path = study_path(folder, KIND.prefix, result["created"][:10], file_words(result["title"]))
    return KIND.publish(path, {"machine": machine_facts(0), **result}, _drawn)


def require_title(folder: Path, title: str) -> None:
    """Refuse a title before anything is measured that could not be published afterwards.

    Raises:
        UsageError: another title is spelt alike in file names.
    """
    KIND.files_of(folder, file_words(title), (title,))


def _drawn(content: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: png_bytes(figure) for name, (figure, _) in figures(content).items()}


def published_page(folder: Path) -> str:
    """The page of all published files of a folder."""
    parts = [
        "# Transfer: which source task and domain to pre-train on",
        "Made by `python -m trainer transfer` with `--publish`; nothing on this page is typed by hand.",
        *wording.DEFINITIONS,
        *filter(None, [change_list(folder, PAGE).rstrip()]),
    ]
    for path in sorted(folder.glob(FILES)):
        parts += _section(json.loads(path.read_text(encoding="utf-8")), path.name)
    return "\n\n".join(parts) + "\n"


def _section(result: Mapping[str, Any], name: str) -> list[str]:
    commit = result["commit"] or "unknown"
    seeds = ", ".join(map(str, result["seeds"]))
    parts = [f"## {result['title']}", f"Figures: [{name}]({name}), from commit `{commit}`, seeds {seeds}."]
    parts += [f"![{caption}]({_picture_name(name, kind)})" for kind, (_, caption) in figures(result).items()]
    parts.append("\n".join(f"- {wording.claim_sentence(target)}" for target in result["targets"]))
    for target in result["targets"]:
        parts += [f"### Target {target['name']}", table(wording.TARGET_HEADERS, wording.target_rows(target))]
        rows = wording.detection_rows(target)
        if rows:
            parts.append(table(wording.DETECTION_HEADERS, rows))
    predicted = wording.prediction_rows(result["prediction"])
    parts += ["### Foreseen without training", table(wording.PREDICTION_HEADERS, predicted)]
    troubles = wording.trouble_sentences(result)
    return parts + (["\n".join(f"- {sentence}" for sentence in troubles)] if troubles else [])


def _picture_name(name: str, kind: str) -> str:
    """Of a picture beside a JSON file."""
    return f"{name.removesuffix('.json')}-{kind}.png"


KIND = StudyKind(
    "transfer", PAGE, published_page, lambda content: (content["title"],), re.compile("gains|foreseen|detection")
)
