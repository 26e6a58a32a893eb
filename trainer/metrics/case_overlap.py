"""One labelled case against what a model makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.data.label_pair import LabelPair, label_pairs
from trainer.metrics.overlap import MaskOverlap, mask_overlap


def overlap_by_label(
    predicted: NDArray[np.integer],
    task: TaskInfo,
    truth: NDArray[np.integer],
    labels: Mapping[int, str],
    regions: NDArray[np.bool_] | None = None,
) -> dict[str, MaskOverlap]:
    """Voxels of every label of a dataset; for the arguments see `masks_by_label`."""
    return {name: mask_overlap(*masks) for name, *masks in masks_by_label(predicted, task, truth, labels, regions)}


def masks_by_label(
    predicted: NDArray[np.integer],
    task: TaskInfo,
    truth: NDArray[np.integer],
    labels: Mapping[int, str],
    regions: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Name, mask of the result and mask of the truth ``(Z, Y, X)`` of every label of a dataset, see `label_pairs`; what
    the task does not have counts as not found.

    Args:
        predicted: label values ``(Z, Y, X)`` of the task.
        task: of the result.
        truth: label values of the dataset on the same grid.
        labels: the dataset's label names by value.
        regions: bool ``(R, Z, Y, X)`` in the order of the task's labels, where these may overlap; each is then
            compared as a whole, not as far as it is seen in ``predicted``.
    """
    for pair in label_pairs(task, labels):
        yield pair.name, _predicted(pair, predicted, task, regions), pair.truth_mask(truth)


def _predicted(
    pair: LabelPair, predicted: NDArray[np.integer], task: TaskInfo, regions: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    if regions is None:
        return pair.predicted_mask(predicted)
    own = [region for label, region in zip(task.labels, regions, strict=True) if label.value in pair.predicted]
    return own[0] if own else np.zeros(predicted.shape, dtype=np.bool_)
