"""The whole of ``calibrate``: fit a model's temperatures anew on its held-out cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TextIO

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.labelled_case import read_labelled_case
from trainer.data.provenance import unseen
from trainer.layout.case import Case
from trainer.refitting.descent import refitted
from trainer.report.progress import Progress
from trainer.training.validation import task_logits


def refit_calibration(
    model_path: Path, directories: Sequence[Path], output: Path, *, seed: int = 0, stream: TextIO | None = None
) -> Manifest:
    """Fit the temperatures of every task on held-out cases and write the model with them. Nothing else changes.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        seed: of the draw of voxels.
        stream: for progress; standard error by default.

    Raises:
        ModelError: the model was pre-trained without labels.
        DatasetError: a task has no folder, or no case of it was held out.
    """
    predictor = Predictor.load(model_path)
    predictor.require_labels()
    datasets = {dataset.name: dataset for dataset in read_datasets(directories)}
    missing = [task.name for task in predictor.manifest.tasks if task.name not in datasets]
    if missing:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    cases = [unseen(datasets[task.name], predictor.manifest) for task in predictor.manifest.tasks]
    if not all(cases):
        raise DatasetError("a task has no held-out case", remedy="Give the datasets that the model was trained on")
    progress = Progress(sum(map(len, cases)), "calibrating", stream)
    done = count(1)
    tasks = [
        _calibrated(predictor, datasets[task.name], task, own, seed, lambda: progress.update(next(done)))
        for task, own in zip(predictor.manifest.tasks, cases, strict=True)
    ]
    manifest = refitted(dataclasses.replace(predictor.manifest, tasks=tuple(tasks)), predictor.model.digest)
    rewrite_manifest(model_path, manifest, output)
    return manifest


def _calibrated(
    predictor: Predictor,
    dataset: Dataset,
    task: TaskInfo,
    cases: Sequence[Case],
    seed: int,
    advance: Callable[[], None],
) -> TaskInfo:
    calibration = TaskCalibration(seed)
    for case in cases:
        calibration.add(_answered(predictor, dataset, task, case))
        advance()
    scaling = calibration.scaling()
    return dataclasses.replace(
        task,
        temperature=scaling.temperature,
        surface_temperature=scaling.surface_temperature,
        calibration=calibration.figures(),
    )


def _answered(predictor: Predictor, dataset: Dataset, task: TaskInfo, case: Case) -> HeldOutCase:
    labelled = read_labelled_case(case, task, dataset.labels)
    logits = task_logits(predictor.network, labelled.prepared.voxels, task, device=predictor.device)
    return HeldOutCase(case.group, logits, labelled.truth)
