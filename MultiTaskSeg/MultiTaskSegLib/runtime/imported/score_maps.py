"""From scores that come slice by slice to labels, confidence and uncertainty on the image's own grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.image.geometry import Reorientation
from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice
from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.nnunet.prepared_image import PreparedImage

Running = RunningLabels | RunningRegions


@dataclass(frozen=True)
class ScoreMaps:
    """Maps ``(Z, Y, X)`` on the image's own grid, in its stored order.

    Attributes:
        labels: uint8 label values, 0 is background; of regions later ones lie over earlier ones.
        uncertainty: float32 in [0, 1], entropy of the calibrated probabilities in units of its largest value.
        confidence: float32 in [0, 1], probability of what is shown.
        predicted_dice: by label value; None where no voxel was found.
        regions: bool ``(R, Z, Y, X)``, of regions that may overlap: each of them.
        region_confidence: by label value, mean probability over the region's own voxels.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    confidence: NDArray[np.float32]
    predicted_dice: dict[int, float | None]
    regions: NDArray[np.bool_] | None = None
    region_confidence: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WayBack:
    """From the cropped image that the network sees to the stored one.

    Attributes:
        prepared: what was cropped, in the network's order of the axes.
        transpose: order of the network's axes, of those that the reader gives.
        axes: from the stored axes to those.
    """

    prepared: PreparedImage
    transpose: tuple[int, int, int]
    axes: Reorientation

    def cropped(self, stored: NDArray[np.generic]) -> NDArray[np.generic]:
        """A map ``(Z, Y, X)`` of the stored image as the network sees it, without what was cropped away; a view."""
        turned: NDArray[np.generic] = self.axes.apply(stored).transpose(self.transpose)[self.prepared.box]
        return turned

    def restored(self, cropped: NDArray[np.generic], outside: float = 0) -> NDArray[np.generic]:
        """A map of the cropped image on the whole one.

        Args:
            cropped: ``(Z, Y, X)`` in the network's order.
            outside: value of what was cropped away.
        """
        whole = cropped
        if cropped.shape != self.prepared.turned_shape:
            whole = np.full(self.prepared.turned_shape, outside, dtype=cropped.dtype)
            whole[self.prepared.box] = cropped
        turned_back = whole.transpose(np.argsort(self.transpose))
        return np.ascontiguousarray(self.axes.invert(turned_back))


def running_maps(task: TaskInfo, slices: Iterable[Tensor], shape: tuple[int, ...]) -> Running:
    """Labels or regions of slices ``(outputs, Y, X)`` of scores; which label wins does not depend on the temperature.

    Args:
        task: gives temperature, and whether its labels are regions.
        slices: all slices of the cropped image, in order.
        shape: of it.
    """
    z, y, x = shape
    labels = len(task.labels)
    running: Running = (
        RunningRegions(labels, (z, y, x)) if task.are_regions else RunningLabels(1 + labels, (z, y, x), False)
    )
    for number, scores in enumerate(slices):
        scaled = (scores if task.temperature == 1 else scores / task.temperature)[:, None]
        shares = torch.sigmoid(scaled) if task.are_regions else torch.softmax(scaled, dim=0)
        running.put(shares, slice(number, number + 1), slice(0, y))
    running.require_finite()
    return running


def finished_maps(running: Running, task: TaskInfo, way_back: WayBack) -> ScoreMaps:
    """The maps on the image's own grid."""
    first = 0 if task.are_regions else 1
    dice = {
        label.value: expected_dice(
            float(running.overlaps[number]), float(running.totals[number]), int(running.voxels[number])
        )
        for number, label in enumerate(task.labels, start=first)
    }
    uncertainty = np.asarray(way_back.restored(running.uncertainty), dtype=np.float32)
    confidence = np.asarray(way_back.restored(running.confidence, outside=1), dtype=np.float32)
    if not isinstance(running, RunningRegions):
        values = np.array([0, *(label.value for label in task.labels)], dtype=np.uint8)
        labels = np.asarray(way_back.restored(values[running.index]), dtype=np.uint8)
        return ScoreMaps(labels, uncertainty, confidence, dice)
    painted = np.zeros(running.confidence.shape, dtype=np.uint8)
    for label, region in zip(task.labels, running.regions, strict=True):
        painted[region] = label.value
    mean = {
        label.value: float(running.overlaps[number] / running.voxels[number])
        for number, label in enumerate(task.labels)
        if running.voxels[number]
    }
    regions = np.stack([np.asarray(way_back.restored(region), dtype=np.bool_) for region in running.regions])
    return ScoreMaps(
        np.asarray(way_back.restored(painted), dtype=np.uint8), uncertainty, confidence, dice, regions, mean
    )
