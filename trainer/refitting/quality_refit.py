"""The whole of ``quality``: what a model file says of the quality of its results, learnt on its held-out cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TextIO

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError, InputError
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import noted_held_out, unseen
from trainer.layout.case import Case
from trainer.measuring.held_out_dice import held_out_samples
from trainer.ood.fault.artefact import Artefact
from trainer.quality.quality_fit import fit_quality
from trainer.quality.quality_sample import QualitySample, quality_sample
from trainer.quality.spoilt_case import planned_faults, spoilt
from trainer.refitting.descent import requalified
from trainer.refitting.output_place import OutputPlace
from trainer.report.progress import Progress

FAULTS = 45
"""Of each task: three of every kind, in all severities."""


def refit_quality(
    model_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    faults: int = FAULTS,
    seed: int = 0,
    stream: TextIO | None = None,
) -> Manifest:
    """Segment held-out images, as they are and spoilt, and write the model with what they say of its quality.

    Weights, reference, temperatures and figures stay bit for bit what they were; patients who were not known before are
    noted as held out.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        faults: spoilt images of each task; of tasks of several channels or with regions there is none.
        seed: of the faults.
        stream: for progress; standard error by default.

    Raises:
        ModelError: the model was pre-trained without labels, or another file has been written to the output meanwhile.
        DatasetError: a task has no folder, or no case of it was held out.
    """
    place = OutputPlace.of(output)
    loaded = Predictor.load(model_path)
    loaded.require_labels()
    # What is learnt corrects the expected Dice, not what an earlier correction has made of it.
    plain = replace(loaded.model, manifest=replace(loaded.manifest, quality=None))
    predictor = Predictor(plain, loaded.device.type)
    datasets = {dataset.name: dataset for dataset in read_datasets(directories, several=True)}
    if missing := [task.name for task in predictor.manifest.tasks if task.name not in datasets]:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    cases = [unseen(datasets[task.name], predictor.manifest) for task in predictor.manifest.tasks]
    if not all(cases):
        raise DatasetError("a task has no held-out case", remedy="Give the datasets that the model was trained on")
    rng = np.random.default_rng(seed)
    is_planar = predictor.manifest.is_planar
    planned = [
        planned_faults(own, faults if _can_be_spoilt(task) else 0, is_planar, rng)
        for task, own in zip(predictor.manifest.tasks, cases, strict=True)
    ]
    progress, done = Progress(sum(map(len, (*cases, *planned))), "measuring", stream), count(1)

    def advance() -> None:
        """An image is done."""
        progress.update(next(done))

    samples: list[list[QualitySample]] = []
    for task, own, spoil in zip(predictor.manifest.tasks, cases, planned, strict=True):
        clean = held_out_samples(predictor, task, datasets[task.name].labels, own, advance)
        samples.append([*clean, *_spoilt_samples(predictor, task, datasets[task.name], spoil, advance)])
    changed = replace(loaded.manifest, quality=fit_quality(samples))
    changed = noted_held_out(changed, dict(zip((task.name for task in changed.tasks), cases, strict=True)))
    manifest = requalified(changed, loaded.model.digest)
    place.require_untouched()
    rewrite_manifest(model_path, manifest, output, read_as=loaded.model.digest)
    return manifest


def _can_be_spoilt(task: TaskInfo) -> bool:
    """Artefacts are made in one channel."""
    return task.input_count == 1 and not task.are_regions


def _spoilt_samples(
    predictor: Predictor,
    task: TaskInfo,
    dataset: Dataset,
    planned: Sequence[tuple[Case, Artefact]],
    advance: Callable[[], None],
) -> list[QualitySample]:
    """Images that cannot be prepared are left out: an artefact can leave nothing but air."""
    samples = []
    for case, fault in planned:
        volume, truth = case.read_pair(dataset.labels)
        try:
            image, moved = spoilt(volume, truth, fault)
            found = predictor.segment(image, task.name)
        except InputError:
            found = None
        if found is not None:
            samples.append(quality_sample(found, moved, dataset.labels, case.group, is_clean=False))
        release_freed_memory()
        advance()
    return samples
