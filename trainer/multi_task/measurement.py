"""How good a network is on test cases: overlap, surfaces, lesions, calibration and the check, case by case.

What is kept of a case adds up over cases, so that intervals can be drawn from patients afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.agreement.mask_overlap import mask_overlap
from MultiTaskSegLib.runtime.agreement.surface_distance import surface_distances
from MultiTaskSegLib.runtime.labels.surface_band import near_surface
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.calibration.scaling import Scaling
from trainer.data.dataset import Dataset
from trainer.data.labelled_case import LabelledCase, read_labelled_case
from trainer.evaluation.case_result import measured_spacing
from trainer.layout.case import Case
from trainer.metrics.case_overlap import masks_by_label
from trainer.metrics.lesion_detection import count_lesions
from trainer.multi_task.contender import Contender
from trainer.uncertainty.case_statistics import predicted_labels
from trainer.uncertainty.reliability import reliability_table

FOREGROUND = "all labels as one"
"""Not the name of a label: what a head that all tasks share can be compared by."""

FIGURES = ("dice", "hausdorff95", "assd", "surface_dice")
REGIONS = ("whole", "ring", "predicted_ring")
"""The whole image; within 2 voxels of the true, and of the predicted surface."""


def measure_cases(contender: Contender, dataset: Dataset, cases: Sequence[Case], lesions: bool) -> list[dict[str, Any]]:
    """Segment cases, the task being told, and compare on their own grids.

    Args:
        contender: has a task with the dataset's name.
        dataset: gives the labels.
        cases: that the network never saw.
        lesions: whether the labels are lesions, counted one by one, all labels together.

    Returns:
        By case, as plain values: ``case``, ``group``, ``structures`` (by label and `FOREGROUND`: `FIGURES`),
        ``labels`` (how many the dataset has), ``unit`` of distances, ``lesions``, ``voxels`` of the image,
        ``reliability`` (`REGIONS` x 3 x bins, see `reliability_table`), ``score`` of the check in units of its limit.
    """
    task = contender.manifest.task(dataset.name)
    found = []
    for case in cases:
        figures = _compared(contender, dataset, case, lesions)
        prepared = read_labelled_case(case, task, dataset.labels)
        figures |= _calibration(prepared, contender.log_probabilities(prepared), task)
        found.append(figures)
        release_freed_memory()
    return found


def _compared(contender: Contender, dataset: Dataset, case: Case, lesions: bool) -> dict[str, Any]:
    volume, truth = case.read_pair(dataset.labels)
    labels, score = contender.answer(volume, dataset.name)
    spacing_zyx, unit = measured_spacing(volume)
    known = np.isin(truth, list(dataset.labels))
    structures = {
        name: _agreement(own, other, spacing_zyx)
        for name, own, other in masks_by_label(labels, contender.manifest.task(dataset.name), truth, dataset.labels)
    }
    structures[FOREGROUND] = _agreement(labels > 0, known, spacing_zyx)
    figures: dict[str, Any] = {
        "case": case.name,
        "group": case.group,
        "structures": structures,
        "labels": len(dataset.labels),
        "unit": unit,
        "score": score,
    }
    return figures | ({"lesions": count_lesions(labels > 0, known).as_dict()} if lesions else {})


def _agreement(
    own: NDArray[np.bool_], other: NDArray[np.bool_], spacing_zyx: tuple[float, float, float]
) -> dict[str, float]:
    """`FIGURES` of two masks ``(Z, Y, X)``; the surface Dice is within the smallest edge of a voxel."""
    surfaces = surface_distances(own, other, spacing_zyx)
    values = (
        mask_overlap(own, other).dice, surfaces.hausdorff95_mm, surfaces.mean_mm,
        surfaces.surface_dice(min(spacing_zyx)),
    )  # fmt: skip
    return dict(zip(FIGURES, values, strict=True))


def _calibration(case: LabelledCase, log_probabilities: NDArray[np.float32], task: TaskInfo) -> dict[str, Any]:
    scaling = Scaling(task.temperature, task.surface_temperature)
    probabilities = scaling.probabilities(log_probabilities)
    foreground, truth = 1.0 - probabilities[0].astype(np.float64), case.truth > 0
    predicted = predicted_labels(probabilities, task.single_component) > 0
    regions = (
        np.ones(truth.shape, dtype=np.bool_),
        near_surface(truth.astype(np.uint8)),
        near_surface(predicted.astype(np.uint8)),
    )
    tables = [reliability_table(foreground[region], truth[region]).tolist() for region in regions]
    return {"reliability": tables, "voxels": int(truth.size)}
