"""The whole of ``evaluate``: segment labelled cases with the shipped pipeline and compare on their own grids."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.held_out import held_out_cases
from trainer.layout.case import Case
from trainer.metrics.overlap import dice, mean_defined
from trainer.report.curves import dice_figure
from trainer.report.progress import Progress
from trainer.report.report import Report
from trainer.report.run_folder import write_json_file, write_text_file


@dataclass(frozen=True)
class CaseResult:
    """One evaluated case.

    Attributes:
        dataset, case, group: where it comes from.
        task: what the model took it for.
        dice: by label name; NaN where neither truth nor result has the label.
        score, is_ood: of the out-of-distribution check.
        seconds: of the segmentation.
    """

    dataset: str
    case: str
    group: str
    task: str
    dice: dict[str, float]
    score: float
    is_ood: bool
    seconds: float


def evaluate(
    model: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    split: str = "imagesTr",
    task: str = "auto",
    held_out_only: bool = True,
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """Evaluate a model and write ``metrics.json``, ``cases.csv`` and ``report.html`` to ``output``.

    Args:
        model: model file.
        directories: dataset folders.
        output: folder.
        split: ``imagesTr`` or ``imagesTs``.
        task: ``auto``, or ``dataset``: the task with the dataset's name.
        held_out_only: of datasets that the model was trained on, use only the groups it never saw.

    Raises:
        DatasetError: nothing is left to evaluate.
    """
    if task not in ("auto", "dataset"):
        raise UsageError(f"--task is {task!r}", remedy="Use auto or dataset")
    predictor = Predictor.load(model)
    datasets = [read_dataset(Path(directory), split) for directory in directories]
    # Of the test split nothing was trained on.
    unseen_only = held_out_only or split == "imagesTs"
    chosen = [(d, c) for d in datasets for c in _cases(d, predictor, held_out_only and split == "imagesTr")]
    if not chosen:
        raise DatasetError("no case is left to evaluate", remedy="Give other datasets or --all-cases")
    progress = Progress(len(chosen), "evaluating", stream)
    results = []
    for dataset, case in chosen:
        results.append(evaluate_case(predictor, dataset, case, dataset.name if task == "dataset" else "auto"))
        release_freed_memory()
        progress.update(len(results))
    summary = summarise(results)
    said = {"model": predictor.model.digest, "split": split, "with_training_cases": not unseen_only}
    write_json_file(output / "metrics.json", said | {"datasets": summary})
    write_text_file(output / "cases.csv", cases_csv(results))
    _write_report(results, summary, predictor.manifest.name, output / "report.html")
    return summary


def evaluate_case(predictor: Predictor, dataset: Dataset, case: Case, task: str) -> CaseResult:
    """Segment one case. A label that the recognised task does not have counts as not found.

    Raises:
        DatasetError: image and label differ in shape.
        InputError: a file cannot be read.
    """
    truth, _ = case.read_labels()
    volume = case.read_image()
    if truth.shape != volume.shape:  # one slice of truth would else be compared with every slice of the result
        raise DatasetError(
            f"the label has shape {truth.shape}, the image {volume.shape}",
            file=case.label,
            remedy="Run 'python -m trainer verify' on the dataset",
        )
    result = predictor.segment(volume, task)
    values = {label.name: label.value for label in result.task.labels}
    scores = {}
    for value, name in dataset.labels.items():
        predicted = result.labels == values[name] if name in values else np.zeros(truth.shape, dtype=bool)
        scores[name] = dice(predicted, truth == value)
    return CaseResult(
        dataset.name,
        case.name,
        case.group,
        result.task.name,
        scores,
        result.verdict.score,
        result.verdict.is_ood,
        result.timings["total_s"],
    )


def summarise(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Per dataset: cases, mean foreground Dice, Dice by label, share recognised, false alarms, seconds."""
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(r.dataset for r in results):
        own = [r for r in results if r.dataset == name]
        labels = {label: mean_defined([r.dice[label] for r in own]) for label in own[0].dice}
        summary[name] = {
            "cases": len(own),
            "mean_foreground_dice": mean_defined([mean_defined(list(r.dice.values())) for r in own]),
            "dice": labels,
            "recognised": float(np.mean([r.task == name for r in own])),
            "flagged_ood": float(np.mean([r.is_ood for r in own])),
            "seconds_per_case": float(np.mean([r.seconds for r in own])),
        }
    return summary


def cases_csv(results: Sequence[CaseResult]) -> str:
    """One row per case and label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["dataset", "case", "group", "task", "label", "dice", "ood_score", "is_ood", "seconds"])
    for r in results:
        for label, value in r.dice.items():
            row = [r.dataset, r.case, r.group, r.task, label, f"{value:.6f}", f"{r.score:.6f}", r.is_ood]
            writer.writerow([*row, f"{r.seconds:.3f}"])
    return buffer.getvalue()


def _cases(dataset: Dataset, predictor: Predictor, held_out_only: bool) -> tuple[Case, ...]:
    return held_out_cases(dataset, predictor.manifest) if held_out_only else dataset.cases


def _write_report(results: Sequence[CaseResult], summary: dict[str, Any], model: str, path: Path) -> None:
    scores: dict[str, dict[str, list[float]]] = {}
    for r in results:
        for label, value in r.dice.items():
            scores.setdefault(r.dataset, {}).setdefault(label, []).append(value)
    headers = ["Dataset", "Cases", "Mean foreground Dice", "Recognised", "Flagged", "Seconds per case"]
    keys = ("cases", "mean_foreground_dice", "recognised", "flagged_ood", "seconds_per_case")
    rows = [[name, *(figures[key] for key in keys)] for name, figures in summary.items()]
    report = Report(f"Evaluation of {model}").add_figure(dice_figure(scores), "Dice of every case")
    report.add_table(headers, rows, "Mean over cases").write(path)
