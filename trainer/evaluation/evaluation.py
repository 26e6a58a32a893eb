"""The whole of ``evaluate``: segment labelled cases with the shipped pipeline and compare on their own grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, datasets_with_masks, split_view
from trainer.data.provenance import unseen
from trainer.evaluation.case_result import CaseResult, cases_csv, evaluate_case
from trainer.evaluation.shown_case import write_pictures
from trainer.evaluation.summary import summarise
from trainer.layout.case import Case
from trainer.report.curves import dice_figure
from trainer.report.note import write_note
from trainer.report.origin import origin
from trainer.report.progress import Progress
from trainer.report.report import Report
from trainer.report.run_folder import write_json_file, write_text_file

PICTURES = "pictures"


def evaluate(
    model: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    split: str = "imagesTr",
    task: str = "auto",
    held_out_only: bool = True,
    pictures: int | None = None,
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
        pictures: how many of the worst cases of a dataset to draw, beside a typical one, into ``pictures``; None: no
            pictures.
        words: of the command, for the record.

    Raises:
        DatasetError: nothing is left to evaluate, or a dataset has no masks.
        ModelError: the model does not say whom it has seen.
    """
    _require_sense(task, pictures)
    _require_other_folder(output, directories)
    # Before the work: the sources may have changed when it is done.
    source = origin("python -m trainer", words)
    predictor = Predictor.load(model)
    datasets = datasets_with_masks(directories, split, several=True)
    cases = {d.name: unseen(d, predictor.manifest) if held_out_only else d.cases for d in datasets}
    left_out = {d.name: len(d.cases) - len(cases[d.name]) for d in datasets}
    for note in _left_out_notes(left_out, datasets, predictor):
        write_note(note, stream)
    chosen = [(dataset, case) for dataset in datasets for case in cases[dataset.name]]
    _require_cases(chosen)
    results = _evaluated(predictor, chosen, task, Progress(len(chosen), "evaluating", stream))
    summary = summarise(results)
    said = {
        "model": predictor.model.digest,
        "task": task,
        "split": split,
        "with_training_cases": not held_out_only,
        "left_out_as_seen": left_out,
    }
    drawn = {}
    if pictures is not None:
        drawn = write_pictures(predictor, chosen, results, task, pictures, output / PICTURES, stream)
    _write(output, said | source | {"datasets": summary, "pictures": drawn}, results)
    _write_report(
        results, summary, predictor.manifest.name, whose_text(held_out_only, left_out), output / "report.html"
    )
    return summary


def _require_sense(task: str, pictures: int | None) -> None:
    if task not in ("auto", "dataset"):
        raise UsageError(f"--task is {task!r}", remedy="Use auto or dataset")
    if pictures is not None and pictures < 0:
        raise UsageError(f"--pictures is {pictures}", remedy="Give 0 or more")


def _require_cases(chosen: Sequence[tuple[Dataset, Case]]) -> None:
    if not chosen:
        raise DatasetError(
            "no case is left to evaluate: the model has seen all of these patients",
            remedy="Give other datasets, or --all-cases for figures that say so",
        )


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
        for name, label in r.labels.items():
            scores.setdefault(r.dataset, {}).setdefault(name, []).append(label.dice)
    headers = [
        "Dataset", "Cases", "Mean foreground Dice", "Mean HD95", "Mean surface Dice", "Recognised", "Flagged",
        "Seconds per case",
    ]  # fmt: skip
    rows = [
        [
            name, figures["cases"], figures["mean_foreground_dice"], _with_unit(figures),
            figures["surface_dice"]["mean"], figures["recognised"], figures["flagged_ood"], figures["seconds_per_case"],
        ]
        for name, figures in summary.items()
    ]  # fmt: skip
    report = Report(f"Evaluation of {model}").add_figure(dice_figure(scores), "Dice of every case")
    report.add_table(headers, rows, "Mean over cases")
    report.add_text(
        "HD95 is the 95th percentile of the distances between the surfaces, of labels that truth and result have; the "
        "surface Dice counts what lies within the smallest edge of a voxel, and is 0 where only one has the label."
    )
    report.add_text(whose).write(path)


def _with_unit(figures: Mapping[str, Any]) -> str | None:
    """None where no label is in truth and result."""
    mean = figures["hausdorff95"]["mean"]
    return None if np.isnan(mean) else f"{mean:.2f} {figures['unit']}"
