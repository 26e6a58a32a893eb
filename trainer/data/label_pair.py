"""Which label of a task's result is compared with which label of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.layout.region_labels import declared_values, members_of

SHARED_NAME = "foreground"


@dataclass(frozen=True)
class LabelPair:
    """One structure under the numbers of a result and under those of a dataset, which may differ.

    Attributes:
        name: the dataset's, or ``foreground`` where all labels are one.
        predicted: values in the result; none where the task does not have the structure.
        truth: values in the dataset's label maps.
    """

    name: str
    predicted: tuple[int, ...]
    truth: tuple[int, ...]

    def predicted_mask(self, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Where a result shows the structure; nowhere if its task does not have it."""
        return np.isin(labels, self.predicted)

    def truth_mask(self, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Where the dataset shows it."""
        return np.isin(labels, self.truth)


def label_pairs(task: TaskInfo, labels: Mapping[int, str]) -> tuple[LabelPair, ...]:
    """Pairs for every label of a dataset, in its order; labels belong together by name.

    A head that all tasks share (Karimi & Gholipour: two channels) tells foreground alone: there all labels of the
    dataset together are one structure.

    Args:
        task: of the model that gave the result.
        labels: the dataset's label names by value, or its regions.
    """
    by_name = {label.name: label.value for label in task.labels}
    if is_shared(task) and SHARED_NAME not in labels.values():
        return (LabelPair(SHARED_NAME, (by_name[SHARED_NAME],), tuple(sorted(declared_values(labels)))),)
    return tuple(
        LabelPair(name, (by_name[name],) if name in by_name else (), members_of(labels, value))
        for value, name in labels.items()
    )


def is_shared(task: TaskInfo) -> bool:
    """Whether the task's only label is the foreground of whatever dataset it was trained on."""
    return [label.name for label in task.labels] == [SHARED_NAME]
