"""One labelled case against what a model makes of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.data.label_pair import label_pairs
from trainer.metrics.overlap import MaskOverlap, mask_overlap


def overlap_by_label(
    predicted: NDArray[np.integer], task: TaskInfo, truth: NDArray[np.integer], labels: Mapping[int, str]
) -> dict[str, MaskOverlap]:
    """Voxels of every label of a dataset, see `label_pairs`; what the task does not have counts as not found.

    Args:
        predicted: label values ``(Z, Y, X)`` of the task.
        task: of the result.
        truth: label values of the dataset on the same grid.
        labels: the dataset's label names by value.
    """
    return {
        pair.name: mask_overlap(pair.predicted_mask(predicted), pair.truth_mask(truth))
        for pair in label_pairs(task, labels)
    }
