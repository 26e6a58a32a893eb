"""The benchmark's figures for ``docs/results``: a JSON file, and a page made from it alone."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.ood.published_aside import aside_pages, aside_words
from trainer.ood.published_part import SUMMARY, part_page
from trainer.ood.published_summary import summary
from trainer.report.change_list import change_list
from trainer.report.origin import machine_facts
from trainer.report.published_study import file_words, files_of_study, study_path
from trainer.report.run_folder import write_json_file, write_text_file

PAGE = SUMMARY
PREFIX = "ood-benchmark"
FILES = f"{PREFIX}-*.json"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}-")
TEXT = """# Out-of-distribution benchmark

Made by `python -m trainer ood-benchmark`; nothing on this page is typed by hand.
"""
WORDS = """## What the words mean

Known images are those of patients that the network was not trained on. Families of foreign images: *real* ones of
other modalities, anatomies and species; *left-out*: datasets of no task of the model, of patients whom no training of
its network has seen (before 2026-11-30 of all patients); *matched*: both, cropped and resampled onto the grid of a
known image, so that size and spacing tell nothing; *artefact*: known images, spoilt, all kinds and severities, then
only the kinds that keep the grid, then only those that lower the Dice by 0.1 or more. Given are the mean AUROC over the
sources (datasets, folders, kinds of artefact) and, in brackets, its 95 % interval; on the pages of the measurements the
FPR95. Detectors of this project begin with "whitened"; controls look at no trained network.
"""


def publish(
    results: Sequence[Mapping[str, Any]], title: str, command: Sequence[str], commit: str | None, folder: Path
) -> tuple[Path, Path]:
    """Write ``ood-benchmark-DATE-TITLE.json`` to ``folder``, and the pages of all such files in it.

    Measured again under the same title, the models get the page of the earlier measurement, whose figures stay.

    Args:
        results: of the models.
        title: what was measured.
        command: arguments; of paths only the last part is kept.
        commit: of the source code.
        folder: where to.

    Returns:
        Paths of both files.

    Raises:
        UsageError: another title is spelt alike in file names, or this one was given to other models.
    """
    kept = [{key: value for key, value in result.items() if key != "images"} for result in results]
    content = {
        "title": title,
        "command": [Path(word).name for word in command],
        "commit": commit,
        "machine": machine_facts(0),
        "models": kept,
    }
    require_title(folder, title, [result["model"] for result in results])
    path = study_path(folder, PREFIX, datetime.date.today().isoformat(), file_words(title))
    write_json_file(path, content)
    return path, write_pages(folder)


def require_title(folder: Path, title: str, models: Sequence[str]) -> None:
    """Refuse a title before anything is measured that could not be published afterwards.

    Args:
        folder: of what is published.
        title: of the measurement.
        models: their names.

    Raises:
        UsageError: another title is spelt alike in file names, or this one was given to other models.
    """
    files_of_study(folder, PREFIX, file_words(title), _identity, (title, *models))


def publish_p_values(found: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``p-value-DATE-MODEL.json`` and the page; paths of both.

    Args:
        found: from `trainer.ood.known_patients.measure_p_values`.
        folder: where to.
    """
    path = folder / f"p-value-{datetime.date.today().isoformat()}-{found['name']}.json"
    write_json_file(path, dict(found) | {"machine": machine_facts(0)})
    return path, write_pages(folder)


def published_pages(folder: Path) -> dict[str, str]:
    """The pages of all published JSON files of a folder: by file name, the summary first."""
    # By title: a run of another day stays beside those that it belongs to.
    paths = sorted(folder.glob(FILES), key=lambda path: (DATE.sub("", path.name), path.name))
    parts = {DATE.sub("", path.stem): path for path in paths}
    pages = {f"{name}.md": part_page(path) for name, path in parts.items()} | aside_pages(folder)
    # A measurement that was made again replaces the page of the earlier one, whose figures stay.
    links = [f"- [{_title(path)}]({name}.md)\n" for name, path in parts.items()] + aside_words(folder)
    more = ["## One by one\n\n" + "".join(links)] if links else []
    changes = [text] if (text := change_list(folder, PAGE)) else []
    return {PAGE: "\n".join([TEXT, *summary(paths, WORDS), *more, *changes]), **pages}


def write_pages(folder: Path) -> Path:
    """Write `published_pages`; path of the summary."""
    for name, text in published_pages(folder).items():
        write_text_file(folder / name, text)
    return folder / PAGE


def _identity(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Title and models, which tell one measurement from another."""
    return content["title"], *(model["model"] for model in content["models"])


def _title(path: Path) -> str:
    title: str = json.loads(path.read_text(encoding="utf-8"))["title"]
    return title
