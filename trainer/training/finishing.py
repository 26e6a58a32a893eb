"""From trained weights to a model file: calibration, held-out Dice, spectral reference, manifest."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.labels.connected_component import is_single_component, most_probable_component
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LabelInfo, Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, signature_spec
from MultiTaskSegLib.runtime.prediction.network_pass import spectra_of
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.planning import TaskPlan
from trainer.metrics.overlap import dice_per_label, mean_defined
from trainer.reference.cell_fitting import CellSamples, fit_memories, new_samples
from trainer.reference.spectral_reference import fit_reference
from trainer.report.progress import Progress
from trainer.training.terminology import label_terminology
from trainer.training.training import PreparedData
from trainer.training.validation import task_logits

SINGLE_COMPONENT_SHARE = 0.95
INTENDED_USE = (
    "Research on images like those of the tasks listed. Not for clinical use. "
    "Results on images flagged as out of distribution must not be trusted."
)


@dataclass(frozen=True)
class HeldOutFigures:
    """What held-out cases say about one task."""

    temperature: float
    dice: dict[str, float]
    calibration: dict[str, float]
    single_component: bool = False
    surface_temperature: float | None = None


def write_model(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    output: Path,
    provenance: dict[str, Any],
    *,
    device: torch.device,
    stream: TextIO | None = None,
) -> Manifest:
    """Measure on held-out cases, fit the spectral reference on all cases and write the model file.

    The network passes through float16 first, so that everything is measured on the weights that are shipped.

    Raises:
        ModelError: a weight does not fit into float16.
        ResourceError: the file cannot be written.
    """
    network = network.half().float()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stubs lack this form
    total = sum(len(h) for h in data.held_out) + sum(len(k) + len(h) for k, h in _known_sides(data))
    progress = Progress(total, "measuring", stream)
    figures: list[HeldOutFigures] = []
    done = 0
    for task, cases in zip(data.plan.tasks, data.held_out, strict=True):
        single = bool(task.label_names) and has_single_component(data.training[len(figures)])
        figures.append(measure_held_out(network, task, cases, device, config.seed, single))
        done += len(cases)
        progress.update(done)
    spec = signature_spec(data.plan.architecture, config.ood_variant, config.ood_layers)
    images = []
    cells = new_samples(len(data.plan.tasks), config.seed)
    for image in reference_images(data, network, spec, device, cells):
        images.append(image)
        progress.update(done + len(images))
    reference = fit_reference(spec, [t.name for t in data.plan.tasks], images)
    manifest = make_manifest(data, figures, reference, images, output, provenance)
    tensors = reference_tensors(images, reference) | cell_tensors(fit_memories(cells))
    save_model(output, manifest, network, tensors)
    return manifest


def has_single_component(cases: Sequence[PreparedCase]) -> bool:
    """Whether the labels together are one connected piece in at least 95 % of the cases."""
    return (
        float(np.mean([is_single_component(np.asarray(case.labels) > 0) for case in cases])) >= SINGLE_COMPONENT_SHARE
    )


def measure_held_out(
    network: SegmentationNetwork,
    task: TaskPlan,
    cases: Sequence[PreparedCase],
    device: torch.device,
    seed: int,
    single_component: bool = False,
) -> HeldOutFigures:
    """Temperatures, Dice by label name (on the network's grid) and calibration errors of one task; a task without
    labels has none of them."""
    if not task.label_names:
        return HeldOutFigures(1.0, {}, {})
    values = tuple(range(1, 1 + len(task.label_names)))
    calibration = TaskCalibration(seed)
    for case in cases:
        calibration.add(_answered(network, task, case, device))
    scaling = calibration.scaling()
    scores: list[dict[int, float]] = []
    for case in cases:
        answered = _answered(network, task, case, device)
        calibration.judge(answered)
        predicted = answered.logits.argmax(axis=0)
        if single_component:
            # As in the shipped pipeline, the pieces are weighed by calibrated probabilities.
            foreground = 1 - scaling.probabilities(answered.logits)[0]
            predicted = np.where(most_probable_component(predicted > 0, foreground), predicted, 0)
        scores.append(dice_per_label(predicted, answered.labels, values))
    by_name = {
        name: mean_defined([s[value] for s in scores]) for value, name in zip(values, task.label_names, strict=True)
    }
    defined = {name: value for name, value in by_name.items() if not np.isnan(value)}
    return HeldOutFigures(
        scaling.temperature, defined, calibration.figures(), single_component, scaling.surface_temperature
    )


def _answered(network: SegmentationNetwork, task: TaskPlan, case: PreparedCase, device: torch.device) -> HeldOutCase:
    logits = task_logits(network, case.voxels, task, device=device)
    return HeldOutCase(case.case.group, logits, np.asarray(case.labels))


def reference_images(
    data: PreparedData,
    network: SegmentationNetwork,
    spec: SignatureSpec,
    device: torch.device,
    cells: Sequence[CellSamples],
) -> Iterator[ReferenceImage]:
    """Yield the spectra of every case, known and held-out, one after the other, and add its cells to its task's."""
    for index, (known, held_out) in enumerate(_known_sides(data)):
        for case, is_held_out in [*((c, False) for c in known), *((c, True) for c in held_out)]:
            voxels = np.asarray(case.voxels, dtype=np.float32)
            cells[index].add(image_cells(voxels, cell_size(network.architecture)), case.case.group, is_held_out)
            spectra = spectra_of(network, voxels, spec, device)
            yield ReferenceImage(index, case.case.group, is_held_out, spectra)


def make_manifest(
    data: PreparedData,
    figures: Sequence[HeldOutFigures],
    reference: SpectralReference,
    images: Sequence[ReferenceImage],
    output: Path,
    provenance: dict[str, Any],
) -> Manifest:
    """Describe the model."""
    sides = [(len(t), len(h)) for t, h in _sides(data)]
    tasks = tuple(
        _task_info(task, figure, *counts) for task, figure, counts in zip(data.plan.tasks, figures, sides, strict=True)
    )
    libraries = {"torch": torch.__version__.split("+")[0], "numpy": np.__version__, "python": platform.python_version()}
    return Manifest(
        FORMAT_VERSION,
        output.name.removesuffix(".mts.safetensors"),
        f"multitaskseg {__version__}",
        INTENDED_USE,
        data.plan.architecture,
        tasks,
        ood_info([task.name for task in data.plan.tasks], reference, images),
        provenance | {"libraries": libraries},
    )


def ood_info(task_names: Sequence[str], reference: SpectralReference, images: Sequence[ReferenceImage]) -> OodInfo:
    """Settings of the check and its false alarms on held-out images."""
    spec = reference.spec
    alarms: dict[str, list[bool]] = {name: [] for name in task_names}
    for image in images:
        if image.held_out:
            alarms[task_names[image.task]].append(reference.judge(image.spectra).is_ood)
    pooled = [alarm for group in alarms.values() for alarm in group]
    return OodInfo(
        spec.variant,
        spec.layers,
        spec.floor,
        reference.threshold,
        float(np.mean(pooled)),
        {name: float(np.mean(values)) for name, values in alarms.items()},
        spec.statistics if spec.uses_image else (),
    )


def _task_info(task: TaskPlan, figures: HeldOutFigures, training: int, held_out: int) -> TaskInfo:
    dataset = task.dataset
    return TaskInfo(
        dataset.name,
        dataset.modality,
        dataset.region,
        tuple(_label_info(task, number) for number in range(len(task.label_names))),
        task.profile,
        task.start,
        figures.temperature,
        str(dataset.info.get("licence", "unknown")),
        training,
        held_out,
        figures.dice,
        figures.calibration,
        figures.single_component,
        figures.surface_temperature,
    )


def _label_info(task: TaskPlan, number: int) -> LabelInfo:
    name, values = task.label_names[number], task.label_values[number]
    overrides = task.dataset.info.get("terminology", {})
    shown = label_terminology(task.name, task.dataset.modality, task.dataset.region, name, overrides.get(name))
    value = values[0] if len(values) == 1 else 1
    return LabelInfo(value, name, shown.display_name, shown.colour, shown.terminology)


def _sides(data: PreparedData) -> list[tuple[list[PreparedCase], list[PreparedCase]]]:
    return list(zip(data.training, data.held_out, strict=True))


def _known_sides(data: PreparedData) -> list[tuple[list[PreparedCase], list[PreparedCase]]]:
    """Images that the network knows, with labels or without, and held-out ones."""
    if not data.unlabelled:
        return _sides(data)
    sides = zip(data.training, data.unlabelled, data.held_out, strict=True)
    return [([*training, *unlabelled], held_out) for training, unlabelled, held_out in sides]
