"""From probabilities on the network grid to labels and uncertainty on the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.connected_component import most_probable_component
from MultiTaskSegLib.runtime.expected_dice import expected_dice
from MultiTaskSegLib.runtime.manifest import TaskInfo
from MultiTaskSegLib.runtime.profile import Prepared
from MultiTaskSegLib.runtime.resampling import resample_linear
from MultiTaskSegLib.runtime.surface_band import soften_near_surface


@dataclass(frozen=True)
class Labelling:
    """Maps ``(Z, Y, X)`` on the image's own grid, in its stored orientation.

    Attributes:
        labels: uint8 label values, 0 is background.
        uncertainty: float32 in [0, 1]: entropy of the calibrated probabilities, 1 when all labels are equally likely.
        confidence: float32 in [0, 1]: probability of the chosen label.
        predicted_dice: expected Dice coefficient by label value; None for labels of which no voxel was found.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    confidence: NDArray[np.float32]
    predicted_dice: dict[int, float | None]


def label_image(probabilities: NDArray[np.float16], task: TaskInfo, prepared: Prepared) -> Labelling:
    """Interpolate one class after the other, so that memory does not grow with the number of classes.

    Args:
        probabilities: float16 ``(1 + labels, Z, Y, X)`` on the network grid, background first, calibrated by the
            task's temperature.
        task: gives the label values and the temperature near the surface.
        prepared: the network input's way back.
    """
    shape = prepared.canonical_shape
    best = np.zeros(shape, dtype=np.float32)
    index = np.zeros(shape, dtype=np.uint8)
    entropy = np.zeros(shape, dtype=np.float32)
    background = best
    totals = np.zeros(len(probabilities))
    if task.surface_temperature is not None:
        probabilities = soften_near_surface(probabilities, task.temperature, task.surface_temperature)
    for number, channel in enumerate(probabilities):
        share = resample_linear(channel.astype(np.float32), shape)
        totals[number] = share.sum(dtype=np.float64)
        # x log x tends to 0 at 0, which the logarithm alone does not know.
        entropy -= share * np.log(np.maximum(share, np.float32(1e-12)))
        better = share > best
        index[better] = number
        np.maximum(best, share, out=best)
        if number == 0:
            background = share
    if task.single_component:
        removed = (index > 0) & ~most_probable_component(index > 0, 1 - background)
        # The uncertainty stays: what was removed is shown as doubtful, not as if it had never been found.
        index[removed] = 0
        best[removed] = background[removed]
    values = np.array([0, *(label.value for label in task.labels)], dtype=np.uint8)
    voxels = np.bincount(index.ravel(), minlength=len(values))
    overlaps = np.bincount(index.ravel(), best.ravel(), minlength=len(values))
    uncertainty = np.clip(entropy / np.log(len(values)), 0.0, 1.0).astype(np.float32)
    return Labelling(
        np.asarray(prepared.restore(values[index]), dtype=np.uint8),
        np.asarray(prepared.restore(uncertainty), dtype=np.float32),
        np.asarray(prepared.restore(np.minimum(best, np.float32(1.0))), dtype=np.float32),
        {
            label.value: expected_dice(float(overlaps[number]), float(totals[number]), int(voxels[number]))
            for number, label in enumerate(task.labels, start=1)
        },
    )
