"""The whole of ``reference``: fit a model's spectral reference anew on labelled folders."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, Variant, signature_spec
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import KEY, Provenance, noted_held_out, unseen
from trainer.measuring.shipped_pass import ShippedPass
from trainer.reference.cell_fitting import CellSamples, fit_memories, new_samples
from trainer.reference.limited_reference import limited_reference
from trainer.refitting.descent import refitted
from trainer.refitting.output_place import OutputPlace
from trainer.refitting.standing_in import StandingIn, read_standing_in
from trainer.report.progress import Progress
from trainer.training.finishing import ood_info

KNOWS_IMAGES_OF = "check_knows_images_of"
"""In the entry ``training``: by task, the folder whose images stood in for its own."""


def refit_reference(
    model_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    variant: Variant = "composite",
    layers: tuple[str, ...] = (),
    images_of: Mapping[str, Path] | None = None,
    stream: TextIO | None = None,
) -> Manifest:
    """Compute the spectra and cells of every case again, fit the reference and write the model with it.

    Args:
        model_path: model to start from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        variant, layers: of the signature, see `signature_spec`.
        images_of: by task, a folder of images without labels that stand in for the task's own, see `StandingIn`; such a
            task needs no folder in ``directories``.

    Raises:
        UsageError: ``images_of`` names a task that the model does not have.
        DatasetError: a task has no folder, or too few images stand in for it.
        ModelError: the model does not say whom it has seen, it has seen every case of a task, or fewer than two groups;
            or another file has been written to the output meanwhile.
    """
    place = OutputPlace.of(output)
    return refit_of(
        Predictor.load(model_path),
        directories,
        place,
        variant=variant,
        layers=layers,
        images_of=images_of,
        stream=stream,
    )


def refit_of(
    predictor: Predictor,
    directories: Sequence[Path],
    place: OutputPlace,
    *,
    variant: Variant = "composite",
    layers: tuple[str, ...] = (),
    images_of: Mapping[str, Path] | None = None,
    stream: TextIO | None = None,
) -> Manifest:
    """`refit_reference` of a model that is loaded already.

    Args:
        predictor: of the model, or of one that was made of it and is in no file.
        place: where to write it, as it was before the model was read.
        directories, variant, layers, images_of, stream: see `refit_reference`.
    """
    model = predictor.model
    datasets = {dataset.name: dataset for dataset in read_datasets(directories, several=True)}
    instead = require_standing_in(model.manifest, images_of or {})
    datasets |= {name: own.dataset for name, own in instead.items()}
    missing = [task.name for task in model.manifest.tasks if task.name not in datasets]
    if missing:
        raise DatasetError(f"no folder for {', '.join(missing)}", remedy="Give the dataset of every task in --data")
    if instead:  # a record of these patients alone would say that the network has seen nobody else
        Provenance.of(model.manifest)
    spec = signature_spec(model.manifest.architecture, variant, layers)
    images: list[ReferenceImage] = []
    cells = new_samples(len(model.manifest.tasks))
    progress = Progress(sum(len(datasets[t.name].cases) for t in model.manifest.tasks), "fitting", stream)
    for index, task in enumerate(model.manifest.tasks):
        own = instead.get(task.name)
        held_out = own.held_out if own else {case.name for case in unseen(datasets[task.name], predictor.manifest)}
        for image in _images(datasets[task.name], task, index, held_out, predictor, spec, cells[index]):
            images.append(image)
            progress.update(len(images))
    names = [task.name for task in model.manifest.tasks]
    reference, scores = limited_reference(spec, names, images)
    quality = _without_scores(model.manifest.quality, stream)
    changed = dataclasses.replace(model.manifest, ood=ood_info(reference, scores), quality=quality)
    own_images = [datasets[name] for name in names if name not in instead]
    changed = noted_held_out(changed, {dataset.name: unseen(dataset, model.manifest) for dataset in own_images})
    manifest = refitted(changed, model.digest, "check")
    manifest = _with_record(manifest, instead)
    tensors = reference_tensors(images, reference) | cell_tensors(fit_memories(cells))
    place.require_untouched()
    save_model(place.path, manifest, model.network, tensors)
    return manifest


def require_standing_in(manifest: Manifest, images_of: Mapping[str, Path]) -> dict[str, StandingIn]:
    """Images that stand in for those of tasks, by task.

    Raises:
        UsageError: a task is not of the model.
        DatasetError: as `read_standing_in`.
    """
    unknown = sorted(set(images_of) - {task.name for task in manifest.tasks})
    if unknown:
        raise UsageError(
            f"the model has no task {', '.join(unknown)}",
            remedy=f"Its tasks are {', '.join(task.name for task in manifest.tasks)}",
        )
    return {name: read_standing_in(directory) for name, directory in images_of.items()}


def _without_scores(quality: QualityInfo | None, stream: TextIO | None) -> QualityInfo | None:
    """Nothing where it rests on the scores of the check before."""
    if quality is None or not quality.is_of_scores:
        return quality
    (stream or sys.stderr).write(
        "what corrected the predicted Dice belonged to the earlier scores and is left out, and with it the bound: "
        "learn both again with 'multitaskseg-trainer quality'\n"
    )
    return None


def _with_record(manifest: Manifest, instead: Mapping[str, StandingIn]) -> Manifest:
    """With the images that stand in, in the record of whom the model has seen, not those of the check before."""
    training = {key: value for key, value in manifest.training.items() if key != KNOWS_IMAGES_OF}
    if instead:
        known = Provenance.of(manifest).generations
        more = [own.generation(manifest.name) for own in instead.values()]
        new = [one for one in more if not any(other.tells(one) for other in known)]
        training[KEY] = Provenance((*new, *known)).as_list()
        training[KNOWS_IMAGES_OF] = {name: own.dataset.name for name, own in instead.items()}
    return dataclasses.replace(manifest, training=training)


def _images(
    dataset: Dataset,
    task: TaskInfo,
    index: int,
    held_out: Collection[str],
    predictor: Predictor,
    spec: SignatureSpec,
    cells: CellSamples,
) -> Iterator[ReferenceImage]:
    shipped = ShippedPass(predictor.network, predictor.device)
    for case in dataset.cases:
        voxels = prepare(case.read_image(), task.profile).voxels
        is_held_out = case.name in held_out
        cells.add(image_cells(voxels, cell_size(predictor.manifest.architecture)), case.group, is_held_out)
        observed = shipped.observed(voxels, spec, predictor.manifest.stem(task))
        yield ReferenceImage(index, case.group, is_held_out, observed)
