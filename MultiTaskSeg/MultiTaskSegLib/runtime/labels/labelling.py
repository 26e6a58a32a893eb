"""From probabilities on the network grid to labels and uncertainty on the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import Prepared, restoring_bytes
from MultiTaskSegLib.runtime.labels.connected_component import connected_pieces, most_probable_piece
from MultiTaskSegLib.runtime.labels.expected_dice import expected_dice
from MultiTaskSegLib.runtime.labels.label_stream import RunningLabels
from MultiTaskSegLib.runtime.model.manifest import TaskInfo


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


def finished(running: RunningLabels, task: TaskInfo, prepared: Prepared) -> Labelling:
    """What the running arg-max has found, as label values in the stored order of the image.

    Raises:
        ModelError: there are probabilities that are no numbers.
    """
    running.require_finite()
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


def finishing_bytes(frame: InputFrame, single_component: bool) -> int:
    """What `finished` takes at most beside the maps that it finishes.

    Args:
        frame: of the image.
        single_component: whether one piece is looked for.
    """
    inside = prod(frame.window.shape)
    # What is labelled, and the numbers of its pieces.
    choosing = inside * (1 + 4) if single_component else 0
    # Label values, and the three maps.
    return max(choosing, inside + restoring_bytes(frame, 1 + 4 + 4))


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
