"""From probabilities on the network grid to labels and uncertainty on the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import Prepared, restoring_bytes
from MultiTaskSegLib.runtime.labels.connected_component import connected_pieces, most_probable_piece
from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice
from MultiTaskSegLib.runtime.labels.label_stream import Running, RunningLabels
from MultiTaskSegLib.runtime.labels.running_regions import RunningRegions
from MultiTaskSegLib.runtime.model.manifest import TaskInfo


@dataclass(frozen=True)
class Labelling:
    """Maps ``(Z, Y, X)`` on the image's own grid, in its stored orientation.

    Attributes:
        labels: uint8 label values, 0 is background.
        uncertainty: float32 in [0, 1]: entropy of the calibrated probabilities, 1 when all labels are equally likely.
        confidence: float32 in [0, 1]: probability of the chosen label.
        predicted_dice: expected Dice coefficient by label value; None for labels of which no voxel was found.
        regions: bool ``(R, Z, Y, X)``, of regions that may overlap: each of them; ``labels`` is what is seen when they
            are painted one after the other.
        region_confidence: by label value, mean probability over the region's voxels; none of labels that exclude each
            other.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    confidence: NDArray[np.float32]
    predicted_dice: dict[int, float | None]
    regions: NDArray[np.bool_] | None = None
    region_confidence: dict[int, float] = field(default_factory=dict)


def finished(running: Running, task: TaskInfo, prepared: Prepared) -> Labelling:
    """What the running arg-max has found, as label values in the stored order of the image.

    Raises:
        ModelError: there are probabilities that are no numbers.
    """
    running.require_finite()
    if isinstance(running, RunningRegions):
        return _painted(running, task, prepared)
    if task.single_component:
        _keep_one_component(running)
    values = np.array([0, *(label.value for label in task.labels)], dtype=np.uint8)
    return Labelling(
        np.asarray(prepared.restore(values[running.index]), dtype=np.uint8),
        np.asarray(prepared.restore(running.uncertainty), dtype=np.float32),
        np.asarray(prepared.restore(running.confidence, outside=1), dtype=np.float32),
        {
            label.value: expected_dice(
                float(running.overlaps[number]), float(running.totals[number]), int(running.voxels[number])
            )
            for number, label in enumerate(task.labels, start=1)
        },
    )


def _painted(running: RunningRegions, task: TaskInfo, prepared: Prepared) -> Labelling:
    """Regions, and the label map in which later ones lie over earlier ones."""
    painted = np.zeros(running.confidence.shape, dtype=np.uint8)
    for label, region in zip(task.labels, running.regions, strict=True):
        painted[region] = label.value
    numbered = list(enumerate(task.labels))
    return Labelling(
        np.asarray(prepared.restore(painted), dtype=np.uint8),
        np.asarray(prepared.restore(running.uncertainty), dtype=np.float32),
        np.asarray(prepared.restore(running.confidence, outside=1), dtype=np.float32),
        {
            label.value: expected_dice(
                float(running.overlaps[number]), float(running.totals[number]), int(running.voxels[number])
            )
            for number, label in numbered
        },
        np.stack([np.asarray(prepared.restore(region), dtype=np.bool_) for region in running.regions]),
        {
            label.value: float(running.overlaps[number] / running.voxels[number])
            for number, label in numbered
            if running.voxels[number]
        },
    )


def finishing_bytes(frame: InputFrame, single_component: bool, regions: int = 0) -> int:
    """What `finished` takes at most beside the maps that it finishes.

    Args:
        frame: of the image.
        single_component: whether one piece is looked for.
        regions: how many regions there are; 0 for labels that exclude each other.
    """
    inside = prod(frame.window.shape)
    # What is labelled, and the numbers of its pieces.
    choosing = inside * (1 + 4) if single_component else 0
    # Label values, and the three maps.
    # Regions are restored one after the other, and laid beside each other once more.
    stacked = 2 * regions * prod(frame.window.whole) + restoring_bytes(frame, 1) if regions else 0
    return max(choosing, inside + restoring_bytes(frame, 1 + 4 + 4) + stacked)


def _keep_one_component(running: RunningLabels) -> None:
    """Make background of all but the most probable piece.

    The uncertainty stays: what was removed is shown as doubtful, not as if it had never been found.
    """
    found = running.index > 0
    pieces, count = connected_pieces(found)
    if count <= 1:
        return
    parts = ((pieces[place][found[place]], 1 - background) for place, background in running.backgrounds())
    chosen = most_probable_piece(parts, count)
    for place, background in running.backgrounds():
        others = pieces[place] != chosen
        running.remove(place, others, background[others[found[place]]])
