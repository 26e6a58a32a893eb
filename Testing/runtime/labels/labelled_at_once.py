"""Labels of an image whose probabilities are in memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.labelling import Labelling, finished
from MultiTaskSegLib.runtime.model.manifest import TaskInfo

SLAB_SLICES = 8


def label_image(probabilities: NDArray[np.floating], task: TaskInfo, prepared: Prepared) -> Labelling:
    """As the shipped pipeline labels calibrated probabilities ``(1 + labels, Z, Y, X)`` on the network's grid."""
    _, z, y, x = probabilities.shape
    stream = LabelStream(task, (z, y, x), prepared.canonical_shape)
    for start in range(0, z, SLAB_SLICES):
        slab = np.array(probabilities[:, start : start + SLAB_SLICES], dtype=np.float32, order="C")
        stream.push(torch.from_numpy(slab))
    return finished(stream.running, task, prepared)
