"""``reference`` for a model that nnU-Net trained: spectra and cells of the images of its training, and the limit."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.imported.imported_file import load_imported, save_imported
from MultiTaskSegLib.runtime.imported.imported_judgement import ORIENTATIONS, observed_of, plainly_prepared
from MultiTaskSegLib.runtime.imported.imported_manifest import VALIDATION, ImportedManifest
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.imported.stored_axes import AS_STORED, orientation_letters
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import Variant
from MultiTaskSegLib.runtime.quality.quality_info import FEWEST_PATIENTS, QUALITY_VERSION, QualityInfo, TaskQuality
from trainer.data.dataset import Dataset, read_datasets
from trainer.data.provenance import CHECK_KEY, record_generation
from trainer.data.split import split_datasets
from trainer.layout.case import Case
from trainer.measuring.held_out_dice import held_out_samples
from trainer.quality.quality_fit import fit_quality
from trainer.reference.cell_fitting import fit_memories, new_samples
from trainer.reference.encoder_signature import encoder_spec
from trainer.reference.limited_reference import limited_reference
from trainer.refitting.imported_calibration import ImportedCalibration
from trainer.refitting.output_place import OutputPlace
from trainer.refitting.training_likeness import require_like_training
from trainer.report.progress import Progress
from trainer.training.finishing import ood_info

Labelled = tuple[Case, Mapping[int, str]]
HELD_OUT_FRACTION, LEAST_GROUPS, LEAST_KNOWN, SEED = 0.25, 4, 2, 0


def refit_imported(
    model_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    variant: Variant = "composite",
    layers: tuple[str, ...] = (),
    held_out: Sequence[str] = (),
    stream: TextIO | None = None,
) -> ImportedManifest:
    """Look at every image of the folders as the model does, fit the reference and write the model with it.

    Most images become the reference; the limit comes from those of other patients, a quarter, or from the named ones.

    Args:
        model_path: imported model.
        directories: folders with the images that the model was trained on.
        output: model file to write; may be ``model_path``.
        variant, layers: of the signature, see `signature_spec`.
        held_out: names of cases that no fold was trained on, with which probabilities are calibrated, too; by default
            those that nnU-Net names as the validation of a single imported fold. Without any a quarter of the patients
            sets the limit, and nothing is calibrated, for nobody knows whether they were trained on.
        stream: where progress is shown.

    Raises:
        DatasetError: a folder cannot be read, there is no such case, there are too few patients, or its images have
            other channels or another spacing than those of the training.
        InputError: an image does not fit the model.
        ModelError, UsageError: as `encoder_spec`, or another file has been written to the output meanwhile.
        ResourceError: the file cannot be written.
    """
    place, predictor = OutputPlace.of(output), ImportedPredictor(load_imported(model_path), torch.device("cpu"))
    spec = encoder_spec(manifest := predictor.manifest, variant, layers)
    datasets = read_datasets(directories, several=True)
    require_like_training(manifest, datasets, stream)
    _tell_doubts(manifest, held_out, stream)
    known, unseen, is_named = _sides(datasets, held_out, manifest.training.get(VALIDATION, ()))
    calibration = ImportedCalibration(np.random.default_rng(SEED))
    images, cells, orientations = list[ReferenceImage](), new_samples(1), Counter[str]()
    progress = Progress(len(known) + len(unseen), "fitting", stream)
    for number, (case, labels) in enumerate((*known, *unseen)):
        volume, is_held_out = case.read_image(), number >= len(known)
        prepared = plainly_prepared(volume, manifest.tasks[0].profile)
        observed = observed_of(predictor.spectra(volume, spec), prepared, spec, manifest.architecture.is_planar)
        cells[0].add(image_cells(prepared.voxels, cell_size(manifest.architecture)), case.group, is_held_out)
        images.append(ReferenceImage(0, case.group, is_held_out, observed))
        orientations[orientation_letters(volume, AS_STORED)] += 1
        if is_named and is_held_out and case.label is not None:
            calibration.add(predictor, case, labels)
        progress.update(len(images))
    tasks = (calibration.measured(manifest.tasks[0]),) if calibration.drawn else manifest.tasks
    reference, scores = limited_reference(spec, [task.name for task in tasks], images)
    told = {**manifest.training, ORIENTATIONS: dict(orientations), **_said(manifest, datasets, known, unseen)}
    # Without labels temperature and bound stay: the check has no part in them.
    quality = _quality(predictor, tasks[0], unseen) if calibration.drawn else manifest.quality
    manifest = replace(manifest, tasks=tasks, training=told, ood=ood_info(reference, scores), quality=quality)
    tensors = reference_tensors(images, reference) | cell_tensors(fit_memories(cells))
    place.require_untouched()
    save_imported(output, manifest, predictor.model.networks, tensors)
    return manifest


def _quality(predictor: ImportedPredictor, task: TaskInfo, cases: Sequence[Labelled]) -> QualityInfo:
    """The bound on the Dice: the cases once more, with the temperature that they gave, if they are enough for one.

    Args:
        predictor: the model.
        task: calibrated.
        cases: held-out ones.
    """
    labelled = [(case, labels) for case, labels in cases if case.label is not None]
    patients = len({case.group for case, _ in labelled})
    if patients < FEWEST_PATIENTS:
        return QualityInfo(QUALITY_VERSION, (TaskQuality(patients),))
    # Nothing of the check enters the bound.
    manifest = replace(predictor.manifest, tasks=(task,), ood=None, quality=None)
    softened = ImportedPredictor(replace(predictor.model, manifest=manifest, reference=None), torch.device("cpu"))
    seen = [held_out_samples(softened, task, labels, [case], lambda: None) for case, labels in labelled]
    return fit_quality([[sample for own in seen for sample in own]])


def _tell_doubts(manifest: ImportedManifest, held_out: Sequence[str], stream: TextIO | None) -> None:
    """Name the cases of which nnU-Net does not say that the fold was not trained on them."""
    validated = manifest.training.get(VALIDATION, ())
    if validated and (others := sorted(set(held_out) - set(validated))):
        (stream or sys.stderr).write(
            f"nnU-Net did not validate the fold on {', '.join(others)}: if it was trained on them, limit, "
            "temperature and Dice flatter the model\n"
        )


def _said(
    manifest: ImportedManifest, datasets: Sequence[Dataset], known: Sequence[Labelled], held_out: Sequence[Labelled]
) -> dict[str, Any]:
    """How many images the reference has, and whose, as salted hashes by dataset."""
    sides = ({case.image for case, _ in side} for side in (known, held_out))
    labelled, kept = (
        {own.name: [case for case in own.cases if case.image in images] for own in datasets} for images in sides
    )
    return {
        "reference": {"known": len(known), "held_out": len(held_out)},
        CHECK_KEY: record_generation(manifest.name, labelled, {}, kept).as_dict(),
    }


def _sides(
    datasets: Sequence[Dataset], held_out: Sequence[str], validated: Sequence[str]
) -> tuple[list[Labelled], list[Labelled], bool]:
    """Cases that become the reference, and those that set the limit, each with its dataset's labels; and whether the
    latter are known to be new to the network."""
    cases = [(case, dataset.labels) for dataset in datasets for case in dataset.cases]
    # Of those that nnU-Net names, a folder may have a part only.
    held_out = held_out or [name for name in validated if name in {case.name for case, _ in cases}]
    if held_out:
        groups = {case.group for case, _ in cases if case.name in held_out}
    else:
        splits = split_datasets(datasets, fraction=HELD_OUT_FRACTION, minimum_groups=LEAST_GROUPS, seed=SEED)
        groups = {case.group for split in splits.values() for case in split.held_out}
    if missing := sorted(set(held_out) - {case.name for case, _ in cases}):
        raise DatasetError(f"there is no case {', '.join(missing)}", remedy="Name cases as files, without _0000")
    known = [(case, labels) for case, labels in cases if case.group not in groups]
    if len({case.group for case, _ in known}) < LEAST_KNOWN:
        raise DatasetError(
            f"fewer than {LEAST_KNOWN} patients are left to be the reference",
            remedy="Give folders with images of more patients that the model was trained on",
        )
    is_wanted = set(held_out) or {case.name for case, _ in cases}
    return known, [(c, labels) for c, labels in cases if c.group in groups and c.name in is_wanted], bool(held_out)
