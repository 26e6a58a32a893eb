"""Measuring a trained network on the cases of its training: how many, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from MultiTaskSegLib.runtime.labels.connected_component import is_single_component
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, signature_spec
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.spread import spread_over_groups
from trainer.measuring.held_out_figures import HeldOutFigures, HeldOutMeasurement
from trainer.measuring.measurer import Measurer
from trainer.measuring.pace import measured_pace
from trainer.measuring.plan import Chosen, MeasuringPlan
from trainer.measuring.sides import Sides
from trainer.reference.cell_fitting import CellSamples, new_samples
from trainer.report.run_progress import RunProgress
from trainer.training.training import PreparedData

SINGLE_COMPONENT_SHARE = 0.95


@dataclass
class Finding:
    """What measuring leaves: figures by task, images and cells for the check."""

    figures: list[HeldOutFigures]
    images: list[ReferenceImage]
    cells: list[CellSamples]


def sides_of(data: PreparedData) -> list[Sides]:
    """By task, what measuring can look at."""
    unlabelled = data.unlabelled or tuple([] for _ in data.training)
    return [
        Sides([*known, *more], held_out, bool(task.label_names))
        for task, known, more, held_out in zip(data.plan.tasks, data.training, unlabelled, data.held_out, strict=True)
    ]


def plan_measuring(
    data: PreparedData, network: SegmentationNetwork, config: TrainingConfig, device: torch.device
) -> MeasuringPlan:
    """Try how fast measuring is, and plan it.

    Args:
        data: plan and cases.
        network: of the plan's architecture, on ``device``; its weights do not matter.
        config: settings.
        device: where to compute.
    """
    measurer = Measurer(network, spec_of(data, config), device)
    number = next((n for n, task in enumerate(data.plan.tasks) if task.label_names), 0)
    pace = measured_pace(measurer, data.plan.tasks[number], data.held_out[number][0], len(data.plan.tasks))
    return MeasuringPlan(sides_of(data), pace, config.measuring_share, config.validation_cases)


def measure(
    data: PreparedData,
    network: SegmentationNetwork,
    config: TrainingConfig,
    device: torch.device,
    chosen: Sequence[Chosen],
    plan: MeasuringPlan,
    progress: RunProgress,
) -> Finding:
    """Look at the chosen cases of every task, the known ones first, each of them once.

    Args:
        data: plan and cases.
        network: with the weights that ship, on ``device``.
        config: settings.
        device: where to compute.
        chosen: cases by task, from the plan.
        plan: what was expected of them.
        progress: told after each case.
    """
    measurer = Measurer(network, spec_of(data, config), device)
    found = Finding([], [], new_samples(len(chosen), config.seed))
    for index, (task, own, trained) in enumerate(zip(data.plan.tasks, chosen, data.training, strict=True)):
        known_s, held_out_s = plan.case_seconds[index]
        cells = found.cells[index]
        for number, case in enumerate(own.known, start=1):
            observed = measurer.look(case, cells, held_out=False)
            found.images.append(ReferenceImage(index, case.case.group, False, observed))
            progress.did(known_s, f"looking at {task.name}, {number} of {len(own.known)}")
        single = bool(task.label_names) and has_single_component(
            spread_over_groups(trained, [case.case.group for case in trained], len(own.known))
        )
        measurement = HeldOutMeasurement(task.label_names, config.seed, single)
        for number, case in enumerate(own.held_out, start=1):
            if task.label_names:
                observed = measurer.measure(case, cells, task.channels, measurement)
            else:
                observed = measurer.look(case, cells, held_out=True)
            found.images.append(ReferenceImage(index, case.case.group, True, observed))
            progress.did(held_out_s, f"measuring {task.name}, {number} of {len(own.held_out)}")
        found.figures.append(measurement.figures())
    return found


def has_single_component(cases: Sequence[PreparedCase]) -> bool:
    """Whether the labels together are one connected piece in at least 95 % of the cases."""
    return (
        float(np.mean([is_single_component(np.asarray(case.labels) > 0) for case in cases])) >= SINGLE_COMPONENT_SHARE
    )


def spec_of(data: PreparedData, config: TrainingConfig) -> SignatureSpec:
    """The signature of a training."""
    return signature_spec(data.plan.architecture, config.ood_variant, config.ood_layers)
