"""The whole of ``reference --limits-only``: the limits of a finished model fitted anew, and nothing else of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import rewrite_manifest
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import noted_held_out, unseen
from trainer.measuring.shipped_pass import ShippedPass
from trainer.reference.law_fitting import fit_limits
from trainer.reference.left_out_score import FEWEST_PATIENTS, LeftOutScores, left_out_scores
from trainer.refitting.descent import refitted
from trainer.refitting.output_place import OutputPlace
from trainer.report.progress import Progress
from trainer.training.finishing import with_false_alarms

REMEMBERED = 0.2
"""An image nearer than this, in units of its task's typical distance, is one of those that the file remembers."""


def refit_limits(
    model_path: Path, directories: Sequence[Path], output: Path, *, stream: TextIO | None = None
) -> Manifest:
    """Fit the limits of every task to its known images and write the model with them.

    Weights, reference and memories stay bit for bit what they were; patients who were not known before are noted as
    held out.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        stream: for progress; standard error by default.

    Raises:
        DatasetError: a task has no folder, or the folder lacks images that the model's reference remembers, or holds
            none that a limit could be fitted to.
        ModelError: the model does not say whom it has seen, or another file has been written to the output meanwhile.
    """
    place = OutputPlace.of(output)
    predictor = Predictor.load(model_path)
    manifest, reference = predictor.manifest, predictor.model.reference
    datasets = {dataset.name: dataset for dataset in read_datasets(directories, several=True)}
    missing = [task.name for task in manifest.tasks if task.name not in datasets]
    if missing:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    chosen = [datasets[task.name] for task in manifest.tasks]
    progress = Progress(sum(len(dataset.cases) for dataset in chosen), "fitting", stream)
    images: list[ReferenceImage] = []
    for index, dataset in enumerate(chosen):
        own = []
        for image in _images(predictor, dataset, index):
            own.append(image)
            progress.update(len(images) + len(own))
        images += own
    known = _remembered(reference, chosen, images)
    scores = left_out_scores(reference.spec, reference, known)
    names = [task.name for task in manifest.tasks]
    _require_scores(scores, chosen)
    info = with_false_alarms(manifest.ood, names, fit_limits(scores, len(names)), scores)
    changed = noted_held_out(
        dataclasses.replace(manifest, ood=info), {dataset.name: unseen(dataset, manifest) for dataset in chosen}
    )
    changed = refitted(changed, predictor.model.digest)
    place.require_untouched()
    rewrite_manifest(model_path, changed, output, read_as=predictor.model.digest)
    return changed


def _require_scores(scores: LeftOutScores, datasets: Sequence[Dataset]) -> None:
    """Refuse folders of which no image can tell how far new images of their task lie.

    Raises:
        DatasetError: of a task there is no held-out image, and training images of too few patients.
    """
    for task, dataset in enumerate(datasets):
        if not (scores.tasks == task).any():
            raise DatasetError(
                f"the folder has no image that was held out, and training images of fewer than {FEWEST_PATIENTS} "
                "patients: nothing tells how far new images lie",
                file=dataset.directory,
                remedy="Add the images that the model has not seen",
            )


def _images(predictor: Predictor, dataset: Dataset, index: int) -> Iterator[ReferenceImage]:
    shipped, task = ShippedPass(predictor.network, predictor.device), predictor.manifest.tasks[index]
    spec, stem = predictor.manifest.ood.spec, predictor.manifest.stem(task)
    held_out = {case.name for case in unseen(dataset, predictor.manifest)}
    for case in dataset.cases:
        voxels = prepare(case.read_image(), task.profile).voxels
        yield ReferenceImage(index, case.group, case.name in held_out, shipped.observed(voxels, spec, stem))
        release_freed_memory()


def _remembered(
    reference: SpectralReference, datasets: Sequence[Dataset], images: Sequence[ReferenceImage]
) -> list[ReferenceImage]:
    """Held-out images, and those of the others that the reference was fitted on: it may know a part of a folder only.

    Raises:
        DatasetError: fewer or more are found than the reference has.
    """
    spec = reference.spec
    kept = [
        image
        for image in images
        if image.held_out
        or reference.log_scores(spec.vectors(image.spectra))[image.task] < np.log(REMEMBERED)
    ]  # fmt: skip
    for task, dataset in enumerate(datasets):
        found = sum(image.task == task and not image.held_out for image in kept)
        expected = int(np.count_nonzero(reference.tasks == task))
        if found != expected:
            raise DatasetError(
                f"the model's reference remembers {expected} training images, and {found} of them are in the folder",
                file=dataset.directory,
                remedy="Give the images that the model was trained on, or fit all of the reference anew",
            )
    return kept
