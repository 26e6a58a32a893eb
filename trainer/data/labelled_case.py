"""A held-out case on the network's grid, with the truth beside the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.profile import Prepared
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
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


def read_labelled_case(case: Case, task: TaskInfo) -> LabelledCase:
    """Read and prepare a case.

    Raises:
        DatasetError: image and label differ in shape.
        InputError: a file cannot be read.
    """
    prepared, truth = read_prepared(case, task.profile, lambda stored: label_indices(stored, task))
    return LabelledCase(case.name, case.group, task, prepared, truth)


def label_indices(stored: NDArray[np.integer], task: TaskInfo) -> NDArray[np.uint8]:
    """Label values to positions in the task's head; what the task does not segment becomes background."""
    if [label.name for label in task.labels] == ["foreground"]:  # a head that all tasks share
        return (stored > 0).astype(np.uint8)
    table = np.zeros(256, dtype=np.uint8)
    for index, label in enumerate(task.labels, start=1):
        table[label.value] = index
    known: NDArray[np.uint8] = table[np.where((stored >= 0) & (stored < len(table)), stored, 0).astype(np.uint8)]
    return known
