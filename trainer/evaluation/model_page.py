"""The page of released models: prose by hand, and below it tables from model files and published figures alone."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.model.weights_licence import weights_licence
from trainer.evaluation.card_page import card_text, checked_words
from trainer.evaluation.evaluation import PICTURES
from trainer.evaluation.model_history import history_words, left_out_words
from trainer.evaluation.model_words import few_words
from trainer.evaluation.published_figures import TOLD, PublishedFigures, measured_as, published_figures
from trainer.report.markdown_table import line, literal
from trainer.report.report import write_whole
from trainer.report.run_folder import write_json_file, write_text_file

MARK = "<!-- What follows is written by `python -m trainer experiment model-page`. -->"
HEADINGS = (
    "task", "modality", "labels", "trained on", "held out", "patients", "mean Dice, `auto` (95 %)",
    "mean Dice, task told (95 %)", "recognised", "flagged", "ECE",
)  # fmt: skip


CARDS = "models"
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")


def keep_evaluation(metrics: Path, models: Sequence[Path], results: Path, cards: Path) -> list[Path]:
    """Copy a ``metrics.json`` of ``evaluate`` to the published figures, under the name of its model.

    Pictures go beside the card of the model, where ``auto`` chose the task.

    Args:
        metrics: beside which ``pictures`` may lie.
        models: model files, one of which it is of.
        results: folder of the published figures.
        cards: folder of the cards.

    Returns:
        What was written.

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
    pictures = {} if told else content.get("pictures", {})
    copies = {dataset: f"{names[0]}-{name}" for dataset, name in pictures.items()}
    for dataset, name in pictures.items():
        write_whole(cards / copies[dataset], (metrics.parent / PICTURES / name).read_bytes())
    path = results / f"evaluation-{datetime.date.today().isoformat()}-{names[0]}{told}.json"
    write_json_file(path, content | {"pictures": copies})
    return [path, *(cards / name for name in copies.values())]


def write_model_page(page: Path, models: Sequence[Path], results: Path) -> None:
    """Write the tables of the models into the page, in place of what follows its mark, and the card of each model into
    the folder ``models`` beside it.

    Args:
        page: with the prose and `MARK`.
        models: model files, in the order of the page.
        results: folder with the published ``evaluation-*``, ``ood-benchmark-*`` and ``localisation-*`` JSON files.

    Raises:
        DatasetError: the page has no mark, or a figure or picture of a model is not published.
        ModelError: the data of a model do not allow its release.
    """
    written = page_text(page.read_text(encoding="utf-8"), models, results)
    folder = page.parent / CARDS
    names = [read_manifest(model)[0].name for model in models]
    cards = {folder / f"{name}.md": card_of(model, results) for name, model in zip(names, models, strict=True)}
    for text in cards.values():
        if missing := [name for name in PICTURE.findall(text) if not (folder / name).is_file()]:
            raise DatasetError(
                "a picture of a card is missing", file=folder / missing[0], remedy="Give the evaluation again"
            )
    for path, text in {**cards, page: written}.items():
        write_text_file(path, text)
    _discard_pictures(folder, names)


def _discard_pictures(folder: Path, names: Sequence[str]) -> None:
    """Pictures of the models that no card shows any more: of a dataset that left the model, or a file before."""
    shown = {name for card in folder.glob("*.md") for name in PICTURE.findall(card.read_text(encoding="utf-8"))}
    for name in names:
        for picture in folder.glob(f"{name}-*.jpg"):
            if picture.name not in shown:
                picture.unlink()


def card_of(model: Path, results: Path) -> str:
    """The card of a model; see `write_model_page`."""
    manifest, digest = read_manifest(model)
    figures = published_figures(manifest, digest, results)
    return card_text(manifest, digest, figures, figures.evaluation.get("pictures", {}))


def page_text(text: str, models: Sequence[Path], results: Path) -> str:
    """The page with new tables; see `write_model_page`."""
    prose, mark, _ = text.partition(MARK)
    if not mark:
        raise DatasetError(f"the page lacks the line {MARK}", remedy="Put it below the prose")
    for model in models:
        require_releasable(read_manifest(model)[0], model)
    read = [read_manifest(model) for model in models]
    sections = [_section(*model, published_figures(*model, results)) for model in read]
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


def _section(manifest: Manifest, digest: str, figures: PublishedFigures) -> str:
    rows = [
        _row(task, figures.evaluation["datasets"][task.name], figures.told["datasets"][task.name])
        for task in manifest.tasks
    ]
    name = literal(manifest.name)
    parts = [
        f"## {name}",
        history_words(manifest, digest),
        "\n".join(map(line, [HEADINGS, ("---",) * len(HEADINGS), *rows])),
        few_words(figures.evaluation["datasets"]),
        left_out_words(manifest),
        f"Licence of the weights, [from those of their data](model_file.md#licence-of-the-weights): "
        f"{literal(weights_licence(manifest).text())}.",
        checked_words(manifest, digest, figures),
        f"**[The card of {name}]({CARDS}/{manifest.name}.md)** has distances of surfaces, every structure, "
        "calibration, false alarms of every task, the data with whom to cite, and pictures of typical and worst cases.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(task: TaskInfo, measured: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        literal(task.name),
        literal(task.modality),
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
