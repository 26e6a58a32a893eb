"""From trained weights to a model file: calibration, held-out Dice, spectral reference, manifest."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LabelInfo, Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest
from MultiTaskSegLib.runtime.model.model_file import MAX_HEADER_BYTES, reference_tensors, save_model
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from trainer.config import TrainingConfig
from trainer.data.planning import TaskPlan
from trainer.measuring.held_out_figures import HeldOutFigures
from trainer.measuring.plan import Chosen, MeasuringPlan
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

# The rest of a file's header is for its tensors and for what is measured.
LARGEST_SHARE = 0.8


def write_model(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    output: Path,
    provenance: dict[str, Any],
    *,
    device: torch.device,
    plan: MeasuringPlan,
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
        plan: of measuring, from before the training; where cases must be chosen, the pace is taken again.
        training_s: how long the training took, of which measuring may take its share.
        progress: of the whole run.

    Raises:
        ModelError: a weight does not fit into float16.
        ResourceError: the file cannot be written.
    """
    network = network.half().float()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stubs lack this form
    plan = plan if plan.is_fixed else plan_measuring(data, network, config, device)
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


def require_describable(
    data: PreparedData, config: TrainingConfig, output: Path, provenance: Mapping[str, Any]
) -> None:
    """Refuse before a training what no model file could say after it.

    Args:
        data, config, output: as for `write_model`.
        provenance: what is known by now of the manifest's ``training``.

    Raises:
        DatasetError: a name, a range of intensities or another value of a task is impossible, or there is more to say
            than fits.
    """
    spec = spec_of(data, config)
    unknown = HeldOutFigures(1.0, {}, {})
    manifest = Manifest(
        FORMAT_VERSION,
        output.name.removesuffix(".mts.safetensors"),
        f"multitaskseg {__version__}",
        INTENDED_USE,
        data.plan.architecture,
        tuple(_task_info(task, unknown, 0, 0) for task in data.plan.tasks),
        OodInfo(spec.variant, spec.layers, spec.floor, 1.0, 0.0, {}, spec.statistics if spec.uses_image else ()),
        dict(provenance),
    )
    try:
        check_manifest(manifest)
    except ModelError as error:
        raise DatasetError(
            f"no model file could describe the result ({error.what})",
            remedy="Correct dataset.json or the configuration; nothing has been trained yet",
        ) from error
    length = len(json.dumps(to_plain(manifest)))
    if length > LARGEST_SHARE * MAX_HEADER_BYTES:
        raise DatasetError(
            f"a model file could not hold whom it has seen ({length} characters)",
            remedy="Train on fewer groups, or start from a model with fewer trainings before it",
        )


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
