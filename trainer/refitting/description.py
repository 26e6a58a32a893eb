"""The whole of ``describe``: what a model file says of its training data, written anew from ``dataset.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import KEY, Provenance
from trainer.origin.seen_sizes import SeenSizes
from trainer.origin.terms import licence_of, terms_of, training_data
from trainer.refitting.descent import described
from trainer.refitting.output_place import OutputPlace


def describe(model_path: Path, directories: Sequence[Path], output: Path) -> Manifest:
    """Write a model with the licences, references and descriptions that its datasets give now.

    Weights, reference, temperatures and figures stay bit for bit what they were.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name; others for datasets of earlier trainings.
        output: model file to write; may be ``model_path``.

    Raises:
        DatasetError: a task has no folder, or ``dataset.json`` says something of the wrong type.
        ModelError, InputError: the model or an image cannot be read, or another file has been written to the output.
    """
    place = OutputPlace.of(output)
    manifest, digest = read_manifest(model_path)
    datasets = {dataset.name: dataset for dataset in read_datasets(directories, several=True)}
    if missing := [task.name for task in manifest.tasks if task.name not in datasets]:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    provenance = Provenance.of(manifest)
    tasks = tuple(_described(task, datasets[task.name], provenance) for task in manifest.tasks)
    training = dict(manifest.training) | {KEY: _with_terms(provenance, datasets).as_list()}
    changed = described(replace(manifest, tasks=tasks, training=training), digest)
    place.require_untouched()
    rewrite_manifest(model_path, changed, output, read_as=digest)
    return changed


def _described(task: TaskInfo, dataset: Dataset, provenance: Provenance) -> TaskInfo:
    looks = SeenSizes()
    # Images of the training, as far as the file knows them; a folder may have grown since.
    for case in [case for case in dataset.cases if provenance.saw(case.group)] or dataset.cases:
        looks.at(case.read_image())
    return replace(task, licence=licence_of(dataset), data=training_data(dataset, looks.sizes()))


def _with_terms(provenance: Provenance, datasets: Mapping[str, Dataset]) -> Provenance:
    generations = []
    for generation in provenance.generations:
        names = [name for name in (*generation.labelled, *generation.unlabelled) if name in datasets]
        terms = dict(generation.terms) | {name: terms_of(datasets[name]) for name in names}
        generations.append(replace(generation, terms=terms))
    return Provenance(tuple(generations))
