"""What models find in labelled cases, as voxel counts: Dice follows from them under either rule for empty masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from MultiTaskSegLib.runtime.model.model_file import Model
from trainer.data.dataset import Dataset
from trainer.data.label_pair import label_pairs
from trainer.layout.case import Case
from trainer.metrics.case_overlap import overlap_by_label
from trainer.metrics.overlap import MaskOverlap, mean_defined
from trainer.metrics.overlap_summary import OverlapSummary, summarise_overlaps
from trainer.two_stage.together import segment_together

Examination = dict[str, list[list[int]]]
"""``[marked, truth, common]`` voxels of each case by label name, on the images' own grids."""


def examine(models: Sequence[Model], dataset: Dataset, cases: Sequence[Case], device: torch.device) -> Examination:
    """Segment cases with one model, or with the average of several, and count voxels.

    Raises:
        InputError: an image cannot be read.
    """
    task = models[0].manifest.tasks[0]
    found: Examination = {pair.name: [] for pair in label_pairs(task, dataset.labels)}
    for case in cases:
        volume, truth = case.read_pair(dataset.labels)
        labels = segment_together(models, volume, device)
        for name, overlap in overlap_by_label(labels, task, truth, dataset.labels).items():
            found[name].append([overlap.marked, overlap.truth, overlap.common])
    return found


def summaries(examination: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, OverlapSummary]:
    """Means over cases by label."""
    return {name: summarise_overlaps([MaskOverlap(*counts) for counts in rows]) for name, rows in examination.items()}


def mean_dice(examination: Mapping[str, Sequence[Sequence[int]]], rule: str) -> float:
    """Mean over the labels of the mean Dice over cases.

    Args:
        examination: from `examine`.
        rule: ``positives`` or ``empty-rule``.
    """
    by_label = summaries(examination).values()
    return mean_defined([s.dice_positives_only if rule == "positives" else s.dice_empty_rule for s in by_label])


def figures(examination: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, Any]:
    """Both Dice conventions, by label and on average, for JSON; never mixed."""
    by_label = summaries(examination)
    return {
        "dice_positives_only": mean_dice(examination, "positives"),
        "dice_empty_rule": mean_dice(examination, "empty-rule"),
        "by_label": {
            name: {
                "images": s.images,
                "positives": s.positives,
                "dice_positives_only": s.dice_positives_only,
                "dice_empty_rule": s.dice_empty_rule,
                "empty_kept_empty": s.empty_kept_empty,
            }
            for name, s in by_label.items()
        },
    }
