"""The benchmark's figures for ``docs/results``: a JSON file, and a page made from it alone."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.metrics.multiple_comparison import p_text
from trainer.ood.known_patients import COUNTED
from trainer.ood.localisation import KINDS
from trainer.ood.published_part import SUMMARY, part_page
from trainer.ood.published_summary import summary
from trainer.report.change_list import change_list
from trainer.report.markdown_table import table
from trainer.report.origin import machine_facts
from trainer.report.run_folder import write_json_file, write_text_file

PAGE = SUMMARY
FILES = "ood-benchmark-*.json"
PLACES = "localisation-*.json"
P_VALUES = "p-value-*.json"
SURE = 0.05
DATE = re.compile(r"\d{4}-\d{2}-\d{2}-")
TEXT = """# Out-of-distribution benchmark

Made by `python -m trainer ood-benchmark`; nothing on this page is typed by hand.

Known images are those of patients that the network was not trained on. Families of foreign images: *real* ones of
other modalities, anatomies and species; *left-out*: datasets that the network was not trained on; *matched*: both,
cropped and resampled onto the grid of a known image, so that size and spacing tell nothing; *artefact*: known images,
spoilt, all kinds and severities, then only the kinds that keep the grid, then only those that lower the Dice by 0.1 or
more. Given are the mean AUROC over the sources (datasets, folders, kinds of artefact) and, in brackets, the FPR95.
Detectors of this project begin with "whitened"; controls look at no trained network. Then: what the check misses,
whether its p-value is uniform on patients who were not trained on (`experiment p-value`), and whether the map of
foreign places finds a foreign patch or a metal streak that was inserted into a known image. At the end: every
measurement as a page of its own.
"""


def publish(
    results: Sequence[Mapping[str, Any]], title: str, command: Sequence[str], commit: str | None, folder: Path
) -> tuple[Path, Path]:
    """Write ``ood-benchmark-DATE-TITLE.json`` to ``folder``, and the page of all such files in it.

    Args:
        results: of the models.
        title: what was measured.
        command: arguments; of paths only the last part is kept.
        commit: of the source code.
        folder: where to.

    Returns:
        Paths of both files.
    """
    kept = [{key: value for key, value in result.items() if key != "images"} for result in results]
    content = {
        "title": title,
        "command": [Path(word).name for word in command],
        "commit": commit,
        "machine": machine_facts(0),
        "models": kept,
    }
    word = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    path = folder / f"ood-benchmark-{datetime.date.today().isoformat()}-{word}.json"
    write_json_file(path, content)
    return path, write_pages(folder)


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
    pages = {f"{name}.md": part_page(path) for name, path in parts.items()}
    # A measurement that was made again replaces the page of the earlier one, whose figures stay.
    changes = [text] if (text := change_list(folder, PAGE)) else []
    more = ["## One by one\n", *(f"- [{_title(path)}]({name}.md)" for name, path in parts.items()), ""] if parts else []
    sections = [*changes, *summary(paths), *_sections(folder, P_VALUES, _p_value_section)]
    sections += _sections(folder, PLACES, _places_section)
    return {PAGE: "\n".join([TEXT, *sections, *more]), **pages}


def write_pages(folder: Path) -> Path:
    """Write `published_pages`; path of the summary."""
    for name, text in published_pages(folder).items():
        write_text_file(folder / name, text)
    return folder / PAGE


def _title(path: Path) -> str:
    title: str = json.loads(path.read_text(encoding="utf-8"))["title"]
    return title


def _sections(folder: Path, pattern: str, section: Callable[[Path], str]) -> list[str]:
    """A section for the newest file of each model."""
    newest = {path.stem.split("-")[-1]: path for path in sorted(folder.glob(pattern))}
    return [section(path) for path in newest.values()]


def _p_value_section(path: Path) -> str:
    """Whether the p-value is uniform within the tasks of a model: one file of `measure_p_values`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    by_task = content["p_value_within_tasks"]
    headers = ["Task", "patients", "mean p-value", "distance from uniform", "p"]
    rows = [
        [name, found["patients"], f"{found['mean_p_value']:.2f}", f"{found['distance']:.2f}", p_text(found["p"])]
        for name, found in by_task.items()
        if found["p"] is not None
    ]
    is_counted = content.get("rule", COUNTED) == COUNTED
    least = 1 / (1 + content["known_images"])
    counted = (
        f"With k of n known images at least as far out the p-value is (1 + k) / (1 + n), here never below {least:.3f}. "
    )
    source = (
        f"{counted if is_counted else ''}"
        f"{content['known_images']} images of patients whom the model with SHA-256 `{content['model'][:12]}` has not "
        f"seen, figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`. "
    )
    heading = f"## Whether the p-value is uniform, {content['name']}\n"
    words = uniformity_words(by_task, is_counted)
    return "\n".join([heading, source + words + "\n", table(headers, rows) + "\n"])


def uniformity_words(by_task: Mapping[str, Any], is_counted: bool = True) -> str:
    """What the test of the p-value says, in a sentence or two.

    Args:
        by_task: from `uniformity_within_tasks` or `uniformity_of_laws`.
        is_counted: whether p-values were counted among those of other tasks; else laws gave them.
    """
    tested = {name: found["p"] for name, found in by_task.items() if found["p"] is not None}
    far = [name.split("_", 1)[-1] for name, p in tested.items() if p <= SURE]
    how = (
        "The p-values of a task's patients are counted among those of the other tasks; their distance from uniform is "
        "that of Kolmogorov and Smirnov, against random choices of as many patients, corrected for the number of tasks "
        "(Holm)."
        if is_counted
        else "The p-values come from the law of the nearest task; their distance from uniform is that of Kolmogorov "
        "and Smirnov, corrected for the number of tasks (Holm)."
    )
    if not far:
        return f"{how} In none of {len(tested)} tasks a departure is found, which does not show that there is none."
    why = (
        "There the p-value, which is counted among the patients of all tasks together, is no probability of a false "
        "alarm; the limit does not come from it."
        if is_counted
        else "There neither the p-value nor the share of false alarms is what the law says."
    )
    return f"{how} In {len(far)} of {len(tested)} tasks they are not uniform: {', '.join(far)}. {why}"


def _places_section(path: Path) -> str:
    """Whether the map of foreign places finds what was inserted: one file of `measure_localisation`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    kinds = [kind for kind in KINDS if kind in content]
    headers = ["Task", *(word for kind in kinds for word in (f"{kind}, AUROC per cell", "place alone"))]
    rows = []
    for task in content[kinds[0]]["by_task"]:
        rows.append([task, *(word for kind in kinds for word in _place_words(content[kind]["by_task"].get(task)))])
    rows.append(["mean", *(word for kind in kinds for word in _place_words(content[kind]))])
    model = f"Model with SHA-256 `{content['model'][:12]}`, figures: [{path.name}]({path.name}).\n"
    return "\n".join(
        [f"## Where an image is foreign, {path.stem.split('-')[-1]}\n", model, table(headers, rows) + "\n"]
    )


def _place_words(measured: Mapping[str, Any] | None) -> tuple[str, str]:
    if measured is None:
        return "", ""
    between = measured["interval"]
    interval = "" if between is None else f" ({between[0]:.3f} to {between[1]:.3f})"
    return f"{measured['auroc']:.3f}{interval}", f"{measured['control']:.3f}"
