"""From trained weights to a model file: calibration, spectral reference, held-out Dice, manifest."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.model.manifest import Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model, reference_tensors, save_model
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.cell_reference import cell_tensors
from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.ood.score_law import TaskLimits
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.config import TrainingConfig
from trainer.distributed.ranks import ALONE, Ranks
from trainer.measuring.held_out_dice import held_out_dice, held_out_samples
from trainer.measuring.plan import Chosen, MeasuringPlan
from trainer.metrics.interval import share_interval
from trainer.quality.quality_fit import fit_quality
from trainer.quality.quality_sample import QualitySample
from trainer.reference.cell_fitting import fit_memories
from trainer.reference.law_fitting import false_alarms
from trainer.reference.left_out_score import LeftOutScores
from trainer.reference.limited_reference import limited_reference
from trainer.report.run_folder import MODEL_SUFFIX
from trainer.report.run_progress import RunProgress
from trainer.training.measuring import Finding, measure, plan_measuring
from trainer.training.planned_manifest import planned_manifest, planned_signature
from trainer.training.training import PreparedData


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
    ranks: Ranks = ALONE,
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
        ranks: the processes of the training, which share measuring; the first one fits and writes.

    Raises:
        ModelError: a weight does not fit into float16.
        DatasetError, InputError: a held-out case cannot be read any more.
        ResourceError: the file cannot be written.
    """
    network = network.half().float()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stubs lack this form
    plan = plan if plan.is_fixed else plan_measuring(data, network, config, device, ranks)
    progress.follow("measuring", plan.seconds(training_s) - plan.validation_s)
    chosen = plan.chosen(training_s)
    found = measure(data, network, config, device, chosen, plan, progress, ranks)
    spec, names = planned_signature(data.plan, config), [t.name for t in data.plan.tasks]
    reference, scores = ranks.agreed(lambda: limited_reference(spec, names, found.images))
    memories = ranks.agreed(lambda: fit_memories(found.cells))
    progress.did(plan.map_s, "measuring labels")
    said = {"measured": {task.name: own.as_dict() for task, own in zip(data.plan.tasks, chosen, strict=True)}}
    draft = planned_manifest(data.plan, config, output.name.removesuffix(MODEL_SUFFIX))
    draft = replace(draft, training=provenance | said | {"libraries": _libraries()})
    manifest = replace(_with_findings(draft, data, chosen, found), ood=ood_info(reference, scores))
    model = Model(manifest, network, reference, digest="", memories=memories)
    manifest = _with_dice(model, data, chosen, device, plan, progress, ranks)
    progress.did(0.0, "writing the model")
    if ranks.rank == 0:
        save_model(output, manifest, network, reference_tensors(found.images, reference) | cell_tensors(memories))
    return manifest


def _with_findings(draft: Manifest, data: PreparedData, chosen: Sequence[Chosen], found: Finding) -> Manifest:
    """With temperatures and calibration."""
    tasks = tuple(
        replace(
            task,
            training_cases=len(known),
            held_out_cases=len(own.held_out),
            temperature=figures.scaling.temperature,
            surface_temperature=figures.scaling.surface_temperature,
            calibration=figures.calibration,
            single_component=figures.single_component,
        )
        for task, figures, known, own in zip(draft.tasks, found.figures, data.training, chosen, strict=True)
    )
    return replace(draft, tasks=tasks)


def _with_dice(
    model: Model,
    data: PreparedData,
    chosen: Sequence[Chosen],
    device: torch.device,
    plan: MeasuringPlan,
    progress: RunProgress,
    ranks: Ranks,
) -> Manifest:
    """The manifest with the Dice that the finished model, as it will be loaded, has on the chosen held-out cases, and
    with the bound that they give."""
    predictor = Predictor(model, device.type, "torch")
    tasks: list[TaskInfo] = []
    samples: list[list[QualitySample]] = []
    for index, (task, planned, own) in enumerate(zip(model.manifest.tasks, data.plan.tasks, chosen, strict=True)):
        if not task.labels:
            tasks.append(task)
            samples.append([])
            continue
        # While a process looks at one case, the others do likewise.
        expected_s = plan.case_seconds[index][1] / 2 * ranks.world_size

        def advance(name: str = task.name, expected_s: float = expected_s) -> None:
            """A case is done, for the second time."""
            progress.did(expected_s, f"measuring labels of {name}")

        cases = [case.case for case in own.held_out]
        samples.append(held_out_samples(predictor, task, planned.dataset.labels, cases, advance, ranks))
        tasks.append(replace(task, held_out_dice=held_out_dice(samples[-1])))
    return replace(model.manifest, tasks=tuple(tasks), quality=fit_quality(samples) if any(samples) else None)


def _libraries() -> dict[str, str]:
    return {"torch": torch.__version__.split("+")[0], "numpy": np.__version__, "python": platform.python_version()}


def ood_info(reference: SpectralReference, scores: LeftOutScores) -> OodInfo:
    """Settings of the check, and its false alarms on known images whose patients were left out of all that it fits.

    Args:
        reference: with limits.
        scores: that the limits come from.
    """
    spec = reference.spec
    draft = OodInfo(
        spec.variant,
        spec.layers,
        spec.floor,
        reference.threshold,
        0.0,
        {},
        spec.statistics if spec.uses_image else (),
    )
    return with_false_alarms(draft, reference.task_names, reference.limits, scores)


def with_false_alarms(
    info: OodInfo, task_names: Sequence[str], limits: TaskLimits | None, scores: LeftOutScores
) -> OodInfo:
    """The settings with these limits and what is known of their false alarms.

    Raises:
        ValueError: there are no limits.
    """
    if limits is None:
        raise ValueError("there are no limits")
    flagged = false_alarms(scores, len(task_names), limits.tail_share)
    groups = np.array(scores.groups)
    own = [scores.tasks == task for task in range(len(task_names))]
    return replace(
        info,
        tail_share=limits.tail_share,
        score_laws=limits.laws,
        false_alarm_rate=float(flagged.mean()),
        false_alarm_rate_by_task={
            name: float(flagged[chosen].mean()) for name, chosen in zip(task_names, own, strict=True)
        },
        false_alarm_interval=share_interval(flagged.tolist(), scores.groups),
        false_alarm_intervals=tuple(share_interval(flagged[chosen].tolist(), groups[chosen]) for chosen in own),
    )
