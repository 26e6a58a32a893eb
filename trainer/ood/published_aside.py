"""Two questions of their own, each with its page: is the p-value uniform, and is it found where an image is foreign?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.metrics.multiple_comparison import p_text
from trainer.ood.known_patients import COUNTED
from trainer.ood.localisation import KINDS
from trainer.ood.published_part import SUMMARY
from trainer.report.markdown_table import table

P_VALUES, P_VALUE_PAGE = "p-value-*.json", "ood-benchmark-p-value.md"
PLACES, PLACES_PAGE = "localisation-*.json", "ood-benchmark-foreign-places.md"
SURE = 0.05
P_VALUE_TITLE = "Whether the p-value is uniform"
PLACES_TITLE = "Where an image is foreign"
P_VALUE_TEXT = """Made by `python -m trainer experiment p-value`: are the p-values of patients who were not trained on
uniform within their task, as those of known images are to be?
"""
PLACES_TEXT = """Made by `python -m trainer experiment localisation`: a foreign patch, or a metal streak, was inserted
into known images. Does the map of foreign places (`check --map`) tell the inserted cells from the others? *Place alone*
is the map of the image before the insertion, which gives away where insertions lie at all.
"""


def aside_pages(folder: Path) -> dict[str, str]:
    """The pages of what was measured, by file name; none for a question that was not asked."""
    asked = (
        (P_VALUE_PAGE, P_VALUE_TITLE, P_VALUE_TEXT, P_VALUES, _p_value_section),
        (PLACES_PAGE, PLACES_TITLE, PLACES_TEXT, PLACES, _places_section),
    )
    pages = {}
    for name, title, text, pattern, section in asked:
        sections = _sections(folder, pattern, section)
        if sections:
            heading = f"# {title}\n\n[Summary and what the words mean]({SUMMARY}).\n"
            pages[name] = "\n".join([heading, text, *sections])
    return pages


def aside_words(folder: Path) -> list[str]:
    """A sentence about each of the pages, with a link to it."""
    words = []
    if found := _newest(folder, P_VALUES):
        tested, far = 0, 0
        for path in found:
            by_task = json.loads(path.read_text(encoding="utf-8"))["p_value_within_tasks"]
            tested += len(_tested(by_task))
            far += len(_far(by_task))
        words.append(
            f"- [{P_VALUE_TITLE}]({P_VALUE_PAGE}): in {far or 'none'} of {tested} tasks a departure is found, with few "
            "patients each.\n"
        )
    if found := _newest(folder, PLACES):
        contents = {_model_of(path): json.loads(path.read_text(encoding="utf-8")) for path in found}
        kinds = [
            f"{kind} " + ", ".join(f"{one[kind]['auroc']:.2f} ({name})" for name, one in contents.items())
            for kind in KINDS
            if all(kind in one for one in contents.values())
        ]
        words.append(f"- [{PLACES_TITLE}]({PLACES_PAGE}), as AUROC per cell: {'; '.join(kinds)}.\n")
    return words


def _sections(folder: Path, pattern: str, section: Callable[[Path], str]) -> list[str]:
    """A section for the newest file of each model."""
    return [section(path) for path in _newest(folder, pattern)]


def _newest(folder: Path, pattern: str) -> list[Path]:
    """The newest file of each model."""
    return list({_model_of(path): path for path in sorted(folder.glob(pattern))}.values())


def _model_of(path: Path) -> str:
    """What follows the date in a file's name."""
    dated = re.search(r"\d{4}-\d{2}-\d{2}-(.+)", path.stem)
    return dated[1] if dated else path.stem.split("-")[-1]


def _tested(by_task: Mapping[str, Any]) -> dict[str, float]:
    """The p-value of the test of each task that has enough patients."""
    return {name: found["p"] for name, found in by_task.items() if found["p"] is not None}


def _far(by_task: Mapping[str, Any]) -> list[str]:
    """Tasks whose p-values are not uniform."""
    return [name.split("_", 1)[-1] for name, p in _tested(by_task).items() if p <= SURE]


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
    heading = f"## {content['name']}\n"
    words = uniformity_words(by_task, is_counted)
    return "\n".join([heading, source + words + "\n", table(headers, rows) + "\n"])


def uniformity_words(by_task: Mapping[str, Any], is_counted: bool = True) -> str:
    """What the test of the p-value says, in a sentence or two.

    Args:
        by_task: from `uniformity_within_tasks` or `uniformity_of_laws`.
        is_counted: whether p-values were counted among those of other tasks; else laws gave them.
    """
    tested, far = _tested(by_task), _far(by_task)
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
    tested = [json.loads(other.read_text(encoding="utf-8")) for other in _newest(path.parent, P_VALUES)]
    is_earlier = any(one["name"] == _model_of(path) and one["model"] != content["model"] for one in tested)
    earlier = ", an earlier one than that of the other figures" if is_earlier else ""
    model = f"Model with SHA-256 `{content['model'][:12]}`{earlier}; figures: [{path.name}]({path.name}).\n"
    return "\n".join([f"## {_model_of(path)}\n", model, table(headers, rows) + "\n"])


def _place_words(measured: Mapping[str, Any] | None) -> tuple[str, str]:
    if measured is None:
        return "", ""
    between = measured["interval"]
    interval = "" if between is None else f" ({between[0]:.3f} to {between[1]:.3f})"
    return f"{measured['auroc']:.3f}{interval}", f"{measured['control']:.3f}"
