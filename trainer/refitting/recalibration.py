"""The whole of ``calibrate``: fit a model's temperatures anew on its held-out cases, and measure its labels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TextIO

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import noted_held_out, unseen
from trainer.layout.case import Case
from trainer.measuring.held_out_dice import held_out_dice, held_out_samples
from trainer.measuring.own_grid_case import read_own_grid_case
from trainer.measuring.shipped_pass import ShippedPass
from trainer.quality.quality_fit import fit_quality
from trainer.refitting.descent import refitted
from trainer.refitting.output_place import OutputPlace
from trainer.report.progress import Progress


def refit_calibration(
    model_path: Path, directories: Sequence[Path], output: Path, *, seed: int = 0, stream: TextIO | None = None
) -> Manifest:
    """Fit the temperatures of every task on held-out cases and write the model with them.

    Besides them only what depends on them changes: the calibration and the Dice of these cases, how many they are, and
    the bound on the Dice; what corrected the predicted Dice belonged to the old temperatures, and is gone. Patients who
    were not known before are noted as held out.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        seed: of the draw of voxels.
        stream: for progress; standard error by default.

    Raises:
        ModelError: the model was pre-trained without labels, or another file has been written to the output meanwhile.
        DatasetError: a task has no folder, or no case of it was held out.
    """
    place = OutputPlace.of(output)
    predictor = Predictor.load(model_path)
    predictor.require_labels()
    changed = recalibrated(predictor, directories, seed=seed, stream=stream)
    manifest = refitted(changed, predictor.model.digest, "labels")
    place.require_untouched()
    rewrite_manifest(model_path, manifest, output, read_as=predictor.model.digest)
    return manifest


def recalibrated(
    predictor: Predictor, directories: Sequence[Path], *, seed: int = 0, stream: TextIO | None = None
) -> Manifest:
    """What `refit_calibration` makes of the manifest of a loaded model, which may be in no file."""
    datasets = {dataset.name: dataset for dataset in read_datasets(directories, several=True)}
    missing = [task.name for task in predictor.manifest.tasks if task.name not in datasets]
    if missing:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    cases = [unseen(datasets[task.name], predictor.manifest) for task in predictor.manifest.tasks]
    if not all(cases):
        raise DatasetError("a task has no held-out case", remedy="Give the datasets that the model was trained on")
    pairs = list(zip(predictor.manifest.tasks, cases, strict=True))
    progress = Progress(2 * sum(map(len, cases)), "calibrating", stream)
    done = count(1)

    def advance() -> None:
        """A case is done, for its temperatures or for its labels."""
        progress.update(next(done))

    tasks = [_calibrated(predictor, datasets[task.name], task, own, seed, advance) for task, own in pairs]
    softened = replace(predictor.model, manifest=replace(predictor.manifest, tasks=tuple(tasks), quality=None))
    shipped = Predictor(softened, predictor.device.type, "torch")
    samples = [
        held_out_samples(shipped, task, datasets[task.name].labels, own, advance)
        for task, own in zip(tasks, cases, strict=True)
    ]
    measured = tuple(
        replace(task, held_out_cases=len(own), held_out_dice=held_out_dice(own))
        for task, own in zip(tasks, samples, strict=True)
    )
    before = predictor.manifest.quality
    if before is not None and any(known.traits for known in before.tasks):
        (stream or sys.stderr).write(
            "what corrected the predicted Dice belonged to the earlier temperatures and is left out: learn it again "
            "with 'multitaskseg-trainer quality'\n"
        )
    changed = replace(predictor.manifest, tasks=measured, quality=fit_quality(samples))
    return noted_held_out(changed, dict(zip((task.name for task in tasks), cases, strict=True)))


def _calibrated(
    predictor: Predictor,
    dataset: Dataset,
    task: TaskInfo,
    cases: Sequence[Case],
    seed: int,
    advance: Callable[[], None],
) -> TaskInfo:
    calibration, shipped = TaskCalibration(seed), ShippedPass(predictor.network, predictor.device)
    for case in cases:
        read = read_own_grid_case(case, task, dataset.labels)
        logits = shipped.logits(read.voxels, task.channels, predictor.manifest.stem(task))
        calibration.add(HeldOutCase(case.group, logits, read.truth))
        advance()
    scaling = calibration.scaling()
    return replace(
        task,
        temperature=scaling.temperature,
        surface_temperature=scaling.surface_temperature,
        calibration=calibration.figures(),
    )
