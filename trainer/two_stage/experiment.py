"""The whole of ``two-stage``: folders in, a student, figures and a report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from trainer.experiment.executor import Executor
from trainer.experiment.matrix import MatrixResult, Say, run_matrix
from trainer.experiment.run import CACHE, RUNS
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.report.run_folder import MODEL_SUFFIX, RunFolder
from trainer.training.train_model import require_model_name
from trainer.two_stage.findings import summarise
from trainer.two_stage.matrix import STUDENT, Cell, make_cells, prepare_cells
from trainer.two_stage.page import write_page
from trainer.two_stage.run import MODEL
from trainer.two_stage.settings import Settings


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        target: dataset folder with labels.
        unlabelled: further folders of images.
        output: model file of the student of the first seed and the largest number of labels.
        labelled: numbers of labelled cases; None: all that are left.
        seeds: of labels, weights and draws.
    """

    target: Path
    unlabelled: tuple[Path, ...]
    output: Path
    labelled: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)


def run_two_stage(
    request: Request, settings: Settings, executor: Executor, say: Say, stream: TextIO | None = None
) -> dict[str, Any]:
    """Do every run that has not been done, and report.

    Args:
        request: folders, numbers of labels, seeds.
        settings: of all trainings.
        executor: where the runs are done.
        say: takes one line per run.
        stream: for progress of the preparation.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UsageError, DatasetError, InputError: before any training.
        MtsError: a run failed; the others are done, and the same command does what is missing.
    """
    require_model_name(request.output)
    folder = RunFolder(request.output)
    contents = FileContents(folder.path / CACHE / MEMORY_NAME)
    cells = make_cells(request.target, request.unlabelled, request.labelled, request.seeds, settings, contents)
    contents.keep()
    folder.write_json("config.json", settings.as_dict())
    materials = prepare_cells(cells, settings, folder.path / CACHE, stream)
    pretexts = settings.two_stage.pretext_names
    runs = [run for cell in cells for run in cell.runs(pretexts)]
    result = run_matrix(runs, folder.path / RUNS, executor, say)
    if result.failures:
        name, reason = next(iter(result.failures.items()))
        raise MtsError(
            f"{len(result.failures)} of {len(runs)} runs failed, first {name}: {reason}",
            file=folder.path,
            remedy="Correct that and give the same command again: finished runs are kept",
        )
    found = summarise(cells, result.metrics, pretexts, settings.two_stage.criterion)
    found["target"] = materials[0].dataset.name
    found["name"] = request.output.name.removesuffix(MODEL_SUFFIX)
    found["other_images"] = [task.name for task in materials[0].pool.tasks[1:]]
    found["commit"] = ", ".join(result.commits) or None
    found["images"] = [
        {
            "labelled": cell.labelled,
            "seed": cell.seed,
            "validation": len(cell.division.validation),
            "test": len(cell.division.test),
            "without_labels": sum(len(cases) for cases in material.pool.cases),
        }
        for cell, material in zip(cells, materials, strict=True)
    ]
    found["curves"] = _curves(cells, result, pretexts)
    folder.write_json("metrics.json", found)
    write_page(found, folder.report)
    _ship_student(cells, result, request.output)
    return found


def _curves(cells: Sequence[Cell], result: MatrixResult, pretexts: Sequence[str]) -> dict[str, list[list[float]]]:
    """Validation Dice over the steps of every run of the cell whose student ships."""
    cell = shipped_cell(cells)
    return {run.name: result.metrics[run.name]["curve"] for run in cell.runs(pretexts)}


def shipped_cell(cells: Sequence[Cell]) -> Cell:
    """The first seed of the largest number of labels."""
    return max(cells, key=lambda cell: cell.labelled)


def _ship_student(cells: Sequence[Cell], result: MatrixResult, output: Path) -> None:
    source = result.folders[shipped_cell(cells).name(STUDENT)] / MODEL
    manifest, _ = read_manifest(source)
    rewrite_manifest(source, replace(manifest, name=output.name.removesuffix(MODEL_SUFFIX)), output)
