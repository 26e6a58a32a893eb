"""The benchmark's figures for ``docs/results``: a JSON file, and a page made from it alone."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.metrics.multiple_comparison import p_text
from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.findings import FAMILY_ORDER
from trainer.ood.localisation import KINDS
from trainer.ood.page import detector_rows
from trainer.report.change_list import change_list
from trainer.report.markdown_table import table
from trainer.report.origin import machine_facts
from trainer.report.run_folder import write_json_file, write_text_file

PAGE = "ood-benchmark.md"
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
Detectors of this project begin with "whitened"; controls look at no trained network. Then: whether the p-value of the
check is uniform on patients who were not trained on (`experiment p-value`). At the end: whether the map of foreign
places finds a foreign patch or a metal streak that was inserted into a known image.
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
    page = folder / PAGE
    write_text_file(page, published_page(folder))
    return path, page


def publish_p_values(found: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``p-value-DATE-MODEL.json`` and the page; paths of both.

    Args:
        found: from `trainer.ood.known_patients.measure_p_values`.
        folder: where to.
    """
    path = folder / f"p-value-{datetime.date.today().isoformat()}-{found['name']}.json"
    write_json_file(path, dict(found) | {"machine": machine_facts(0)})
    page = folder / PAGE
    write_text_file(page, published_page(folder))
    return path, page


def published_page(folder: Path) -> str:
    """The page of all published JSON files of a folder."""
    # By title: a run of another day stays beside those that it belongs to.
    sections = [_section(path) for path in sorted(folder.glob(FILES), key=lambda path: DATE.sub("", path.name))]
    changes = [text] if (text := change_list(folder, PAGE)) else []
    sections += [_p_value_section(path) for path in sorted(folder.glob(P_VALUES))]
    return "\n".join([TEXT, *changes, *sections, *(_places_section(path) for path in sorted(folder.glob(PLACES)))])


def _section(path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    source = f"Figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`.\n"
    models = content["models"]
    one_by_one = [_model_section(result) for result in models]
    # Of several models their means tell the story; the leads of each are in the figures.
    summary, detail = ([_overview(models)], []) if len(models) > 1 else ([], _leads(models[0]) if models else [])
    return "\n".join([f"## {content['title']}\n", source, *summary, *one_by_one, *detail])


def _overview(models: Sequence[Mapping[str, Any]]) -> str:
    """Mean and range over the models of every detector's AUROC."""
    families = _families(models[0])
    names = [name for name in models[0]["detectors"] if all(name in m["detectors"] for m in models)]
    rows = []
    for name in names:
        values = [[m["detectors"][name][family]["auroc"] for m in models] for family in families]
        cells = [f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in values]
        rows.append((float(np.mean(values)), [name, *cells]))
    ordered = [cells for _, cells in sorted(rows, key=lambda row: -row[0])]
    heading = f"### Mean (range) of the AUROC over {len(models)} models\n"
    return heading + "\n" + table(["Detector", *families], ordered) + "\n"


def _model_section(result: Mapping[str, Any]) -> str:
    families = _families(result)
    measured = table(["Detector", *families], detector_rows(result["detectors"], families)) + "\n"
    return "\n".join([f"### {result['model']}\n", _shipped_line(result["shipped"]), measured])


def _leads(result: Mapping[str, Any]) -> list[str]:
    """By how much the shipped detector is ahead of each other; nothing for figures that do not say so."""
    families = _families(result)
    others = {n: figures for n, figures in result["detectors"].items() if n != SHIPPED}
    if not all("lead_of_shipped" in figures[f] for figures in others.values() for f in families):
        return []
    ordered = sorted(others.items(), key=lambda item: float(np.mean([item[1][f]["lead_of_shipped"] for f in families])))
    rows = [[name, *(_lead_words(figures[f]) for f in families)] for name, figures in ordered]
    has_intervals = any(figures[f]["lead_interval"] is not None for figures in others.values() for f in families)
    words = " (95 % interval, paired, over patients)" if has_intervals else ""
    heading = f"By how much `{SHIPPED}` is ahead: difference of the mean AUROC{words}.\n"
    return [heading, table(["Detector", *families], rows) + "\n"]


def _lead_words(figures: Mapping[str, Any]) -> str:
    words = f"{figures['lead_of_shipped']:+.3f}"
    if figures["lead_interval"] is None:
        return words
    low, high = figures["lead_interval"]
    return f"{words} ({low:+.3f} to {high:+.3f})"


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
    least = 1 / (1 + content["known_images"])
    source = (
        f"With k of n known images at least as far out the p-value is (1 + k) / (1 + n), here never below {least:.3f}. "
        f"{content['known_images']} images of patients whom the model with SHA-256 `{content['model'][:12]}` has not "
        f"seen, figures: [{path.name}]({path.name}), from commit `{content['commit'] or 'unknown'}`. "
    )
    heading = f"## Whether the p-value is uniform, {content['name']}\n"
    return "\n".join([heading, source + uniformity_words(by_task) + "\n", table(headers, rows) + "\n"])


def uniformity_words(by_task: Mapping[str, Any]) -> str:
    """What the test of the p-value says, in a sentence or two."""
    tested = {name: found["p"] for name, found in by_task.items() if found["p"] is not None}
    far = [name.split("_", 1)[-1] for name, p in tested.items() if p <= SURE]
    how = (
        "The p-values of a task's patients are counted among those of the other tasks; their distance from uniform is "
        "that of Kolmogorov and Smirnov, against random choices of as many patients, corrected for the number of tasks "
        "(Holm)."
    )
    if not far:
        return f"{how} In none of {len(tested)} tasks a departure is found, which does not show that there is none."
    return (
        f"{how} In {len(far)} of {len(tested)} tasks they are not uniform: {', '.join(far)}. There the p-value, which "
        "is counted among the patients of all tasks together, is no probability of a false alarm; the limit does not "
        "come from it."
    )


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


def _families(result: Mapping[str, Any]) -> list[str]:
    measured = next(iter(result["detectors"].values()))
    return [family for family in FAMILY_ORDER if family in measured]


def _shipped_line(shipped: Mapping[str, Any]) -> str:
    between = shipped.get("sensitivity_interval", {})
    flagged = ", ".join(f"{f} {_percent(share, between.get(f))}" for f, share in shipped["sensitivity"].items())
    accepted = _percent(shipped["specificity"], shipped.get("specificity_interval"))
    return (
        f"The check as it ships (`{shipped['variant']}`, layers {', '.join(shipped['layers'])}), limit from other "
        f"patients: {accepted} of {shipped['known_images']} known images accepted; "
        f"flagged: {flagged}. Task recognised in {100 * shipped['recognised']:.1f} %."
        f"{_p_value_words(shipped.get('p_value_within_tasks', {}))}\n"
    )


def _p_value_words(by_task: Mapping[str, Any]) -> str:
    """Whether the p-value is uniform within tasks; nothing where that was not tested."""
    tested = {name: found for name, found in by_task.items() if found["p"] is not None}
    if not tested:
        return ""
    words = [
        f"{name.split('_', 1)[-1]} {found['mean_p_value']:.2f} ({p_text(found['p'])})" for name, found in tested.items()
    ]
    return f" Mean p-value of a task's images among those of the other tasks: {', '.join(words)}."


def _percent(share: float, interval: Sequence[float] | None) -> str:
    """A share, with its interval where it was measured."""
    if interval is None:
        return f"{100 * share:.1f} %"
    low, high = interval
    return f"{100 * share:.1f} % ({100 * low:.0f} to {100 * high:.0f})"
