"""How good a fine-tuned model is on the held-out cases of its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import Dataset
from trainer.layout.case import Case
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.lesion_detection import (
    FALSE_POSITIVES_PER_IMAGE,
    LesionCounts,
    count_at_thresholds,
    count_lesions,
    free_response,
    sensitivity_at,
    sum_counts,
)
from trainer.metrics.overlap import MaskOverlap, mean_defined
from trainer.metrics.overlap_summary import summarise_overlaps


def measure(predictor: Predictor, dataset: Dataset, cases: Sequence[Case], lesions: bool) -> dict[str, Any]:
    """Segment cases with the shipped pipeline and compare on their own grids.

    Args:
        predictor: its model has a task with the dataset's name.
        dataset: gives the labels.
        cases: that the model never saw.
        lesions: whether the labels are lesions, which are then counted one by one, all labels together.

    Returns:
        ``dice`` and ``iou``: means over labels of the means over the cases that have the label; ``dice_empty_rule``;
        ``labels``: all figures by label name; ``detection`` and ``free_response`` for lesions.
    """
    overlaps: dict[str, list[MaskOverlap]] = {}
    counts: list[LesionCounts] = []
    at_thresholds: list[list[LesionCounts]] = []
    for case in cases:
        volume, truth = case.read_pair(dataset.labels)
        result = predictor.segment(volume, dataset.name)
        for name, overlap in overlap_by_label(result.labels, result.task, truth, dataset.labels).items():
            overlaps.setdefault(name, []).append(overlap)
        if lesions:
            known = np.isin(truth, list(dataset.labels))
            counts.append(count_lesions(result.labels > 0, known))
            at_thresholds.append(count_at_thresholds(foreground_probability(result), known))
        release_freed_memory()
    summaries = {name: summarise_overlaps(of_label) for name, of_label in overlaps.items()}
    figures: dict[str, Any] = {
        "cases": len(cases),
        "dice": mean_defined([s.dice_positives_only for s in summaries.values()]),
        "iou": mean_defined([s.iou_positives_only for s in summaries.values()]),
        "dice_empty_rule": mean_defined([s.dice_empty_rule for s in summaries.values()]),
        "labels": {name: asdict(summary) for name, summary in summaries.items()},
    }
    return figures | _detection(counts, at_thresholds) if lesions else figures


def foreground_probability(result: Segmentation) -> NDArray[np.float32]:
    """Probability ``(Z, Y, X)`` of being any label, where the confidence is that of the chosen one.

    Exact for a task with one label. With more labels it is that of the chosen label inside and an upper bound outside.
    """
    return np.where(result.labels > 0, result.confidence, 1.0 - result.confidence).astype(np.float32)


def _detection(counts: Sequence[LesionCounts], at_thresholds: Sequence[Sequence[LesionCounts]]) -> dict[str, Any]:
    points = free_response(at_thresholds)
    rates = {f"{limit:g}": sensitivity_at(points, limit) for limit in FALSE_POSITIVES_PER_IMAGE}
    return {
        "detection": sum_counts(counts).as_dict() | {"sensitivity_at_false_positives": rates},
        "free_response": [asdict(point) for point in points],
    }
