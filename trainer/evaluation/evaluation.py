"""The whole of ``evaluate``: segment labelled cases with the shipped pipeline and compare on their own grids."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, read_datasets, split_view
from trainer.data.provenance import unseen
from trainer.layout.case import Case
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.interval import PatientDraws, drawn_interval
from trainer.metrics.overlap import mean_defined
from trainer.report.curves import dice_figure
from trainer.report.note import write_note
from trainer.report.origin import origin
from trainer.report.progress import Progress
from trainer.report.report import Report
from trainer.report.run_folder import write_json_file, write_text_file

DRAWS = 2000


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
    words: Sequence[str] = (),
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """Evaluate a model and write ``metrics.json``, ``cases.csv`` and ``report.html`` to ``output``.

    Args:
        model: model file.
        directories: dataset folders.
        output: folder.
        split: ``imagesTr`` or ``imagesTs``.
        task: ``auto``, or ``dataset``: the task with the dataset's name.
        held_out_only: use only groups (patients) that neither the model nor one that it descends from has ever seen,
            in whichever dataset.
        words: of the command, for the record.

    Raises:
        DatasetError: nothing is left to evaluate.
        ModelError: the model does not say whom it has seen.
    """
    if task not in ("auto", "dataset"):
        raise UsageError(f"--task is {task!r}", remedy="Use auto or dataset")
    _require_other_folder(output, directories)
    # Before the work: the sources may have changed when it is done.
    source = origin("python -m trainer", words)
    predictor = Predictor.load(model)
    datasets = read_datasets(directories, split, several=True)
    cases = {d.name: unseen(d, predictor.manifest) if held_out_only else d.cases for d in datasets}
    left_out = {d.name: len(d.cases) - len(cases[d.name]) for d in datasets}
    for note in _left_out_notes(left_out, datasets, predictor):
        write_note(note, stream)
    chosen = [(dataset, case) for dataset in datasets for case in cases[dataset.name]]
    if not chosen:
        raise DatasetError(
            "no case is left to evaluate: the model has seen all of these patients",
            remedy="Give other datasets, or --all-cases for figures that say so",
        )
    results = _evaluated(predictor, chosen, task, Progress(len(chosen), "evaluating", stream))
    summary = summarise(results)
    said = {
        "model": predictor.model.digest,
        "task": task,
        "split": split,
        "with_training_cases": not held_out_only,
        "left_out_as_seen": left_out,
    }
    _write(output, said | source | {"datasets": summary}, results)
    _write_report(
        results, summary, predictor.manifest.name, whose_text(held_out_only, left_out), output / "report.html"
    )
    return summary


def _write(output: Path, metrics: Mapping[str, Any], results: Sequence[CaseResult]) -> None:
    write_json_file(output / "metrics.json", dict(metrics))
    write_text_file(output / "cases.csv", cases_csv(results))


def _require_other_folder(output: Path, directories: Sequence[Path]) -> None:
    """The figures of cases have the name of the file with a dataset's groups, which must not be lost."""
    for directory in (split_view(Path(one))[0] for one in directories):
        if output.exists() and directory.exists() and output.samefile(directory):
            raise UsageError("the results would overwrite the dataset", file=output, remedy="Give another folder")


def _evaluated(
    predictor: Predictor, chosen: Sequence[tuple[Dataset, Case]], task: str, progress: Progress
) -> list[CaseResult]:
    results: list[CaseResult] = []
    for dataset, case in chosen:
        results.append(evaluate_case(predictor, dataset, case, dataset.name if task == "dataset" else "auto"))
        release_freed_memory()
        progress.update(len(results))
    return results


def evaluate_case(predictor: Predictor, dataset: Dataset, case: Case, task: str) -> CaseResult:
    """Segment one case. A label that the recognised task does not have counts as not found.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds values that are not declared.
        InputError: a file cannot be read.
    """
    volume, truth = case.read_pair(dataset.labels)
    result = predictor.segment(volume, task)
    overlaps = overlap_by_label(result.labels, result.task, truth, dataset.labels, result.regions)
    scores = {name: overlap.dice for name, overlap in overlaps.items()}
    return CaseResult(
        dataset.name,
        case.name,
        case.group,
        result.task.name,
        scores,
        result.checked.score,
        result.checked.is_ood,
        result.timings["total_s"],
    )


def summarise(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Per dataset: cases, mean foreground Dice with its interval, Dice by label, shares, seconds."""
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(r.dataset for r in results):
        own = [r for r in results if r.dataset == name]
        labels = {label: mean_defined([r.dice[label] for r in own]) for label in own[0].dice}
        summary[name] = {
            "cases": len(own),
            "mean_foreground_dice": mean_defined([mean_defined(list(r.dice.values())) for r in own]),
            "interval": _dice_interval(own),
            "patients": len({r.group for r in own}),
            "dice": labels,
            "recognised": float(np.mean([r.task == name for r in own])),
            "flagged_ood": float(np.mean([r.is_ood for r in own])),
            "seconds_per_case": float(np.mean([r.seconds for r in own])),
        }
    return summary


def _dice_interval(results: Sequence[CaseResult]) -> list[float] | None:
    """95 % interval of the mean foreground Dice of cases, from draws of patients; None where they are too few."""
    scored = [(r.group, value) for r in results if not np.isnan(value := mean_defined(list(r.dice.values())))]
    if not scored:
        return None
    groups, values = zip(*scored, strict=True)
    weights = PatientDraws(groups, np.random.default_rng(0), DRAWS).weights(groups)
    # Every round draws as many patients as there are, so that no round is empty.
    limits = drawn_interval(weights @ np.asarray(values) / weights.sum(axis=1), len(set(groups)))
    return None if limits is None else list(limits)


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


def _left_out_notes(left_out: dict[str, int], datasets: Sequence[Dataset], predictor: Predictor) -> list[str]:
    """What is said of cases that are left out though the model was not trained on their dataset."""
    known = {task.name for task in predictor.manifest.tasks}
    return [
        f"{left_out[d.name]} of {len(d.cases)} cases of {d.name} are left out: groups of these names were trained on "
        "in another dataset (if they are other patients, name the groups in cases.csv)"
        for d in datasets
        if left_out[d.name] and d.name not in known
    ]


def whose_text(held_out_only: bool, left_out: Mapping[str, int]) -> str:
    """Whether figures are of patients whom the model has never seen, in words.

    Args:
        held_out_only: whether seen ones were left out.
        left_out: how many cases of each dataset were.
    """
    if not held_out_only:
        return "Cases that the model was trained on are among these: the figures say nothing about new patients."
    words = ", ".join(f"{count} of {name}" for name, count in left_out.items() if count)
    return "The model has seen none of these patients" + (f"; left out as seen: {words} cases." if words else ".")


def _write_report(results: Sequence[CaseResult], summary: dict[str, Any], model: str, whose: str, path: Path) -> None:
    scores: dict[str, dict[str, list[float]]] = {}
    for r in results:
        for label, value in r.dice.items():
            scores.setdefault(r.dataset, {}).setdefault(label, []).append(value)
    headers = ["Dataset", "Cases", "Mean foreground Dice", "Recognised", "Flagged", "Seconds per case"]
    keys = ("cases", "mean_foreground_dice", "recognised", "flagged_ood", "seconds_per_case")
    rows = [[name, *(figures[key] for key in keys)] for name, figures in summary.items()]
    report = Report(f"Evaluation of {model}").add_figure(dice_figure(scores), "Dice of every case")
    report.add_table(headers, rows, "Mean over cases").add_text(whose).write(path)
