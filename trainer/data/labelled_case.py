"""A held-out case on the network's grid, with the truth beside the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.data.label_pair import label_pairs
from trainer.data.prepared_label import read_prepared
from trainer.layout.case import Case


@dataclass(frozen=True)
class LabelledCase:
    """A case as the network sees it.

    Attributes:
        name: of the case.
        group: cases of one group (patient) are never compared with each other.
        task: whose labels the truth has.
        prepared: network input.
        truth: uint8 ``(Z, Y, X)`` indices into the task's head channels, 0 is background.
    """

    name: str
    group: str
    task: TaskInfo
    prepared: Prepared
    truth: NDArray[np.uint8]


def read_labelled_case(case: Case, task: TaskInfo, labels: Mapping[int, str]) -> LabelledCase:
    """Read and prepare a case.

    Args:
        case: the files.
        task: of the model.
        labels: the dataset's label names by value.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds other values.
        InputError: a file cannot be read.
    """
    prepared, truth = read_prepared(case, task.profile, labels, lambda stored: label_indices(stored, task, labels))
    return LabelledCase(case.name, case.group, task, prepared, truth)


def truth_of(stored: NDArray[np.integer], task: TaskInfo, labels: Mapping[int, str]) -> NDArray[np.uint8]:
    """A dataset's label values ``(Z, Y, X)`` as the truth of a task: `label_indices`, or of regions ``(R, Z, Y, X)``
    with 1 in each of them."""
    if not task.are_regions:
        return label_indices(stored, task, labels)
    masks = {value: pair.truth_mask(stored) for pair in label_pairs(task, labels) for value in pair.predicted}
    nowhere = np.zeros(stored.shape, dtype=np.bool_)
    return np.stack([masks.get(label.value, nowhere) for label in task.labels]).astype(np.uint8)


def label_indices(stored: NDArray[np.integer], task: TaskInfo, labels: Mapping[int, str]) -> NDArray[np.uint8]:
    """A dataset's label values to positions in the task's head; what the task does not segment becomes background."""
    positions = {label.value: index for index, label in enumerate(task.labels, start=1)}
    table = np.zeros(256, dtype=np.uint8)
    for pair in label_pairs(task, labels):
        for value in pair.predicted:
            table[list(pair.truth)] = positions[value]
    known: NDArray[np.uint8] = table[np.where((stored >= 0) & (stored < len(table)), stored, 0).astype(np.uint8)]
    return known
