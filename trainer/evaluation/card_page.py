"""The card of a released model as a page: how well, how sure, what it does not know, which data, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from trainer.evaluation.model_history import history_words, left_out_words
from trainer.evaluation.model_words import acceptance_words, check_words, data_words, few_words
from trainer.evaluation.published_figures import PublishedFigures, checked_as
from trainer.report.markdown_table import literal, table

BEFORE_REFIT = " These figures were measured before the check was fitted anew, with the same weights."


def card_text(manifest: Manifest, digest: str, figures: PublishedFigures, pictures: Mapping[str, str]) -> str:
    """The page, from the model file and the published figures alone.

    Args:
        manifest, digest: of the model file.
        figures: published of it.
        pictures: file name beside the page by dataset; those without have none.
    """
    parts = [
        f"# {literal(manifest.name)}: model card",
        "Written by `python -m trainer experiment model-page` from the model file and the published figures; figures "
        "are means over cases of patients that were held out from training, with 95 % intervals from draws of "
        "patients. [All released models](../models.md).",
        literal(manifest.intended_use),
        history_words(manifest, digest),
        left_out_words(manifest),
        "## How well it segments",
        _agreement_table(manifest, figures.evaluation["datasets"]),
        few_words(figures.evaluation["datasets"]),
        "HD95 is the 95th percentile of the distances between the surfaces of truth and result, where both have the "
        "structure (where one has not, it is counted under *one is empty*); the surface Dice counts what lies within "
        "the smallest edge of a voxel and is 0 where only one has the structure; pixels (px) where the images do not "
        "say how large they are. *Expected Dice off by* is the mean distance of the Dice that the model foretells "
        "from the real one.",
        _structures(manifest, figures.evaluation["datasets"]),
        "## How far its probabilities can be trusted",
        _calibration_table(manifest),
        "ECE: expected calibration error of the top label near the structures, on the network's grid, before and after "
        "the temperatures, which were fitted on other held-out patients. [More](../results/calibration.md).",
        "## Images it does not know",
        checked_words(manifest, digest, figures, "../results"),
        _false_alarms(manifest, figures),
        place_words(manifest, digest, figures, "../results"),
        "## Data",
        data_words(manifest, "../"),
        _pictures(manifest, figures.evaluation["datasets"], pictures),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def checked_words(manifest: Manifest, digest: str, figures: PublishedFigures, folder: str = "results") -> str:
    """What the check finds and what it misses, with a link into the folder of figures."""
    if figures.acceptance is not None:
        return acceptance_words(figures.acceptance, manifest)
    assert figures.benchmark is not None
    return check_words(figures.benchmark, folder) + _if_older(figures.benchmark["sha256"], manifest, digest)


def place_words(manifest: Manifest, digest: str, figures: PublishedFigures, folder: str) -> str:
    """What the map of foreign places finds, with a link into the folder of figures; nothing where not measured."""
    if figures.localisation is None:
        return ""
    patch, streak = figures.localisation["patch"], figures.localisation["streak"]
    return (
        "Map of foreign places (`check --map`): cells of an inserted foreign patch are told from the others with an "
        f"AUROC of {patch['auroc']:.2f} (place alone {patch['control']:.2f}), those of a metal streak with "
        f"{streak['auroc']:.2f} ({streak['control']:.2f}), means over the tasks ([figures]({folder}/{figures.places}))."
    ) + _if_older(figures.localisation["model"], manifest, digest)


def mean_text(measured: Mapping[str, Any], digits: int = 3) -> str:
    """A mean with its interval where there is one."""
    if measured["mean"] is None:
        return "–"
    limits = measured["interval"]
    return f"{measured['mean']:.{digits}f}" + (f" ({limits[0]:.2f} to {limits[1]:.2f})" if limits else "")


def _with(measured: Mapping[str, Any], digits: int, words: str) -> str:
    """A mean with what it is of; nothing but a dash where there is none."""
    found = mean_text(measured, digits)
    return found if measured["mean"] is None else f"{found} {words}"


def _if_older(measured: str, manifest: Manifest, digest: str) -> str:
    return "" if measured in checked_as(manifest, digest) else BEFORE_REFIT


def _agreement_table(manifest: Manifest, datasets: Mapping[str, Any]) -> str:
    headers = ["task", "cases", "patients", "Dice", "HD95", "surface Dice", "one is empty", "expected Dice off by"]
    return table(headers, [_agreement_row(task, datasets[task.name]) for task in manifest.tasks])


def _agreement_row(task: TaskInfo, measured: Mapping[str, Any]) -> list[str]:
    dice = {"mean": measured["mean_foreground_dice"], "interval": measured["interval"]}
    low, high = measured["tolerance"]
    within = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    off = measured["expected_dice_error"]
    return [
        literal(task.name),
        str(measured["cases"]),
        str(measured["patients"]),
        mean_text(dice),
        _with(measured["hausdorff95"], 2, measured["unit"]),
        _with(measured["surface_dice"], 3, f"within {within} {measured['unit']}"),
        str(measured["one_is_empty"]),
        "–" if off is None else f"{off:.3f}",
    ]


def _structures(manifest: Manifest, datasets: Mapping[str, Any]) -> str:
    rows = [
        [literal(task.name), literal(name), *(_number(own[key], digits) for key, digits in KEYS)]
        for task in manifest.tasks
        for name, own in datasets[task.name]["by_label"].items()
    ]
    by_structure = table(["task", "structure", "Dice", "HD95", "surface Dice"], rows)
    return f"<details><summary>By structure</summary>\n\n{by_structure}\n\n</details>"


KEYS = (("dice", 3), ("hausdorff95", 2), ("surface_dice", 3))


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _calibration_table(manifest: Manifest) -> str:
    rows = [
        [
            literal(task.name),
            _number(task.calibration.get("ece_uncalibrated"), 3),
            _number(task.calibration.get("ece"), 3),
            f"{task.temperature:.2f}",
            "–" if task.surface_temperature is None else f"{task.surface_temperature:.2f}",
        ]
        for task in manifest.tasks
    ]
    return table(["task", "ECE before", "ECE after", "temperature", "temperature near the surface"], rows)


def _false_alarms(manifest: Manifest, figures: PublishedFigures) -> str:
    others = {} if figures.benchmark is None else figures.benchmark["shipped"].get("specificity_by_task", {})
    rows = []
    for task in manifest.tasks:
        measured = figures.evaluation["datasets"][task.name]
        low, high = measured["flagged_interval"]
        flagged = f"{100 * measured['flagged_ood']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        kept = others.get(task.name)
        rows.append(
            [literal(task.name), str(measured["cases"]), flagged, "–" if kept is None else f"{100 - 100 * kept:.0f} %"]
        )
    headers = ["task", "held-out images", "flagged by the shipped limit", "flagged by a limit fitted on other patients"]
    words = (
        "False alarms, of images that are known (the shipped limit was set with these very images, so that new ones "
        "may be flagged more often):"
        if figures.acceptance is None
        else "Flagged of the drawn images that the Dice was measured on, which the check does not know:"
    )
    return f"{words}\n\n{table(headers, rows)}"


def _pictures(manifest: Manifest, datasets: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    shown = [task for task in manifest.tasks if task.name in pictures]
    if not shown:
        return ""
    parts = ["## Typical and worst cases", "Held-out images; the slice that shows most of truth and result."]
    for task in shown:
        dice = datasets[task.name]["mean_foreground_dice"]
        name, source = literal(task.name), literal("; ".join(filter(None, [task.data.reference, task.licence])))
        parts.append(f"### {name}")
        parts.append(f"![A typical case and the worst ones of {name}]({pictures[task.name]})")
        parts.append(f"Mean Dice {dice:.3f}. Images: {source}.")
    return "\n\n".join(parts)
