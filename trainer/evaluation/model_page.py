"""The page of released models: prose by hand, and below it tables from model files and published figures alone."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.model.weights_licence import weights_licence
from trainer.evaluation.model_words import check_words, data_words, few_words
from trainer.ood.page import UNTRAINED
from trainer.report.run_folder import write_json_file, write_text_file

MARK = "<!-- What follows is written by `python -m trainer experiment model-page`. -->"
HEADINGS = (
    "task", "modality", "labels", "trained on", "held out", "patients", "mean Dice, `auto` (95 %)",
    "mean Dice, task told (95 %)", "recognised", "flagged", "ECE",
)  # fmt: skip


TOLD = "-told"
BEFORE_REFIT = " These figures were measured before the check was fitted anew, with the same weights."


def keep_evaluation(metrics: Path, models: Sequence[Path], results: Path) -> Path:
    """Copy a ``metrics.json`` of ``evaluate`` to the published figures, under the name of its model.

    Raises:
        DatasetError: it is of none of the models, or not of held-out cases alone.
    """
    content = json.loads(metrics.read_text(encoding="utf-8"))
    names = [
        manifest.name
        for manifest, digest in map(read_manifest, models)
        if content.get("model") in measured_as(manifest, digest)
    ]
    if not names:
        raise DatasetError("these figures are of none of the models", file=metrics, remedy="Evaluate the model again")
    if content.get("with_training_cases"):
        raise DatasetError(
            "these figures are also of cases that the model was trained on",
            file=metrics,
            remedy="Evaluate without --all-cases",
        )
    told = TOLD if content.get("task") == "dataset" else ""
    path = results / f"evaluation-{datetime.date.today().isoformat()}-{names[0]}{told}.json"
    write_json_file(path, content)
    return path


def write_model_page(page: Path, models: Sequence[Path], results: Path) -> None:
    """Write the tables of the models into the page, in place of what follows its mark.

    Args:
        page: with the prose and `MARK`.
        models: model files, in the order of the page.
        results: folder with the published ``evaluation-*``, ``ood-benchmark-*`` and ``localisation-*`` JSON files.

    Raises:
        DatasetError: the page has no mark, or a figure of a model is not published.
        ModelError: the data of a model do not allow its release.
    """
    write_text_file(page, page_text(page.read_text(encoding="utf-8"), models, results))


def page_text(text: str, models: Sequence[Path], results: Path) -> str:
    """The page with new tables; see `write_model_page`."""
    prose, mark, _ = text.partition(MARK)
    if not mark:
        raise DatasetError(f"the page lacks the line {MARK}", remedy="Put it below the prose")
    for model in models:
        require_releasable(read_manifest(model)[0], model)
    sections = [_section(*read_manifest(model), results) for model in models]
    return "\n".join([prose + MARK + "\n", *sections])


def require_releasable(manifest: Manifest, model: Path) -> None:
    """Refuse to present a model as released whose data do not allow it.

    Raises:
        ModelError: released weights may not be made of some data, or nobody has said so, or no licence is known.
    """
    if reasons := weights_licence(manifest).refusals():
        raise ModelError(
            f"the model must not be released: {'; '.join(reasons)}",
            file=model,
            remedy="Correct dataset.json and run 'describe', or train without these data",
        )


def measured_as(manifest: Manifest, digest: str) -> tuple[str, ...]:
    """Digests of the files whose figures are the model's: its own, and those of earlier files that differ in nothing
    but in what the manifest says about the training."""
    return digest, *manifest.training.get("measured_as", ())


def _section(manifest: Manifest, digest: str, results: Path) -> str:
    digests = measured_as(manifest, digest)
    older = (*digests, *manifest.training.get("refitted_from", ()))

    def of_model(content: Mapping[str, Any]) -> bool:
        """Whether figures were measured with this very model."""
        return content.get("model") in digests

    def of_weights(content: Mapping[str, Any]) -> bool:
        """Whether figures were measured with these weights, before the check was fitted anew or since."""
        return content.get("model") in older

    def complete(content: Mapping[str, Any]) -> bool:
        """Whether a benchmark is of these weights alone, of all families and with every control."""
        first = content["models"][0]
        is_controlled = any(name.startswith(UNTRAINED) for name in first["detectors"])
        is_whole = is_controlled and "artefact" in first["shipped"]["sensitivity"]
        return first["sha256"] in older and len(content["models"]) == 1 and is_whole

    _, evaluation = _published(results, f"evaluation-*-{manifest.name}.json", of_model)
    _, benchmark = _published(results, "ood-benchmark-*.json", complete)
    places, localisation = _published(results, f"localisation-*-{manifest.name}.json", of_weights)
    _, told = _published(results, f"evaluation-*-{manifest.name}{TOLD}.json", of_model)
    rows = [_row(task, evaluation["datasets"][task.name], told["datasets"][task.name]) for task in manifest.tasks]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [HEADINGS, ("---",) * len(HEADINGS), *rows])
    history = f"SHA-256 of the content `{digest}`, {_history(manifest.training)}."
    for earlier in digests[1:]:
        history += (
            f" Figures that name `{earlier}` hold for it, too: that file differs in nothing but in what it says about "
            "the training."
        )
    check, found = check_words(benchmark["models"][0]), _place_words(localisation, places)
    if benchmark["models"][0]["sha256"] not in digests:
        check += BEFORE_REFIT
    if localisation["model"] not in digests:
        found += BEFORE_REFIT
    parts = [
        f"## {manifest.name}",
        history,
        table,
        few_words(evaluation["datasets"]),
        data_words(manifest),
        check,
        found,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _published(folder: Path, pattern: str, fits: Callable[[Mapping[str, Any]], bool]) -> tuple[str, dict[str, Any]]:
    """Name and content of the newest file that fits."""
    for path in sorted(folder.glob(pattern), reverse=True):
        content = json.loads(path.read_text(encoding="utf-8"))
        if fits(content):
            return path.name, content
    raise DatasetError(f"no {pattern} is of this model file", file=folder, remedy="Measure and publish it first")


def _history(training: Mapping[str, Any]) -> str:
    words = f"{training['steps']} steps in {training['minutes']:.0f} minutes"
    start = training.get("finetuning", {}).get("model")
    return f"{words}, on top of the weights of an earlier {start}" if start else words


def _row(task: TaskInfo, measured: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        task.name,
        task.modality,
        str(len(task.labels)),
        str(task.training_cases),
        str(task.held_out_cases),
        str(measured.get("patients", "")),
        _dice_text(measured),
        _dice_text(told),
        f"{100 * measured['recognised']:.0f} %",
        f"{100 * measured['flagged_ood']:.0f} %",
        f"{task.calibration['ece']:.3f}",
    )


def _dice_text(measured: Mapping[str, Any]) -> str:
    limits = measured.get("interval")
    return f"{measured['mean_foreground_dice']:.3f}" + (f" ({limits[0]:.2f} to {limits[1]:.2f})" if limits else "")


def _place_words(found: Mapping[str, Any], name: str) -> str:
    patch, streak = found["patch"], found["streak"]
    return (
        "Map of foreign places (`check --map`): cells of an inserted foreign patch are told from the others with an "
        f"AUROC of {patch['auroc']:.2f} (place alone {patch['control']:.2f}), those of a metal streak with "
        f"{streak['auroc']:.2f} ({streak['control']:.2f}), means over the tasks ([figures](results/{name}))."
    )
