"""A held-out case as the shipped pipeline reads and prepares it, with the truth on the image's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from trainer.data.labelled_case import truth_of
from trainer.layout.case import Case


@dataclass(frozen=True)
class OwnGridCase:
    """A case whose answer is compared where the user sees it.

    Attributes:
        group: patient.
        voxels: network input, float32 ``(z, y, x)`` in [0, 1], of several channels ``(C, z, y, x)``.
        truth: uint8 ``(Z, Y, X)`` indices into the task's head channels, 0 is background: the label file's own voxels
            in canonical order, without the air around the image. Of regions ``(R, Z, Y, X)``, 1 in each.
    """

    group: str
    voxels: NDArray[np.float32]
    truth: NDArray[np.uint8]


def read_own_grid_case(case: Case, task: TaskInfo, labels: Mapping[int, str]) -> OwnGridCase:
    """Read and prepare a case.

    Args:
        case: the files.
        task: of the model.
        labels: the dataset's label names by value.

    Raises:
        DatasetError: the label map does not lie on the image's grid, or holds values that the dataset does not name.
        InputError: a file cannot be read.
    """
    volume, stored = case.read_pair(labels)
    prepared = prepare(volume, task.profile)
    truth = truth_of(np.asarray(prepared.canonical(stored)), task, labels)
    return OwnGridCase(case.group, prepared.voxels, np.ascontiguousarray(truth))
