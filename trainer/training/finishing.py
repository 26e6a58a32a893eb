"""From trained weights to a model file: calibration, held-out Dice, spectral reference, manifest."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LabelInfo, Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from trainer.config import TrainingConfig
from trainer.data.planning import TaskPlan
from trainer.measuring.held_out_figures import HeldOutFigures
from trainer.measuring.plan import Chosen
from trainer.reference.cell_fitting import fit_memories
from trainer.reference.spectral_reference import fit_reference
from trainer.report.run_progress import RunProgress
from trainer.training.measuring import measure, plan_measuring, spec_of
from trainer.training.terminology import label_terminology
from trainer.training.training import PreparedData

INTENDED_USE = (
    "Research on images like those of the tasks listed. Not for clinical use. "
    "Results on images flagged as out of distribution must not be trusted."
)


def write_model(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    output: Path,
    provenance: dict[str, Any],
    *,
    device: torch.device,
    training_s: float,
    progress: RunProgress,
) -> Manifest:
    """Measure cases, fit the spectral reference and write the model file.

    The network passes through float16 first, so that everything is measured on the weights that are shipped.

    Args:
        data: plan and cases.
        network: averaged weights, on ``device``.
        config: settings.
        output: model file.
        provenance: for the manifest's ``training``; what was measured is added.
        device: where to compute.
        training_s: how long the training took, of which measuring may take its share.
        progress: of the whole run.

    Raises:
        ModelError: a weight does not fit into float16.
        ResourceError: the file cannot be written.
    """
    network = network.half().float()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stubs lack this form
    plan = plan_measuring(data, network, config, device)
    progress.follow("measuring", plan.seconds(training_s) - plan.validation_s)
    chosen = plan.chosen(training_s)
    found = measure(data, network, config, device, chosen, plan, progress)
    reference = fit_reference(spec_of(data, config), [t.name for t in data.plan.tasks], found.images)
    memories = fit_memories(found.cells)
    progress.did(plan.map_s, "writing the model")
    said = {"measured": {task.name: own.as_dict() for task, own in zip(data.plan.tasks, chosen, strict=True)}}
    manifest = make_manifest(data, chosen, found.figures, reference, found.images, output, provenance | said)
    save_model(output, manifest, network, reference_tensors(found.images, reference) | cell_tensors(memories))
    return manifest


def make_manifest(
    data: PreparedData,
    chosen: Sequence[Chosen],
    figures: Sequence[HeldOutFigures],
    reference: SpectralReference,
    images: Sequence[ReferenceImage],
    output: Path,
    provenance: dict[str, Any],
) -> Manifest:
    """Describe the model."""
    counts = [(len(known), len(own.held_out)) for known, own in zip(data.training, chosen, strict=True)]
    tasks = tuple(_task_info(*row[:2], *row[2]) for row in zip(data.plan.tasks, figures, counts, strict=True))
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
