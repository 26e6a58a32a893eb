"""What the verdict is worth: how much Dice is lost in images that it flags, and in those that it lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.failure.failure_flag import FAILURE_DICE, mean_drop
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.metrics.interval import drawn_interval
from trainer.metrics.weighted_figure import mean_of_defined, weighted_mean

Floats = NDArray[np.float64]


def verdict_worth(images: Sequence[MeasuredImage], weights: Floats, patients: int) -> dict[str, Any]:
    """Figures by kind of artefact and over all kinds, each a mean over tasks.

    The loss of an image is the Dice of the same image without the artefact minus its own; images without such a twin
    (the clean one could not be measured) are left out.

    Args:
        images: clean ones and spoilt ones, whose Dice is defined.
        weights: ``(1 + rounds, N)``, all ones first.
        patients: how many there are.

    Returns:
        by kind, and ``all``: ``flagged`` (share), ``loss_flagged``, ``loss_passed`` (mean loss of Dice) and
        ``failures_passed`` (share of failures that are not flagged), each with value and interval.
    """
    clean = {(image.task, image.case): image.mean_dice for image in images if image.kind == CLEAN}
    loss = np.array([clean.get((image.task, image.case), np.nan) - image.mean_dice for image in images])
    spoilt = np.array([image.kind != CLEAN for image in images]) & ~np.isnan(loss)
    kind = np.array([image.kind for image in images], dtype=object)
    kinds = list(dict.fromkeys(kind[spoilt]))
    chosen = {"all": spoilt, **{name: spoilt & (kind == name) for name in kinds}} if kinds else {}
    return {name: _worth(images, loss, own, weights, patients) for name, own in chosen.items()}


def _worth(
    images: Sequence[MeasuredImage], loss: Floats, chosen: NDArray[np.bool_], weights: Floats, patients: int
) -> dict[str, Any]:
    flagged = np.array([image.is_ood for image in images])
    failed = np.array([image.mean_dice < FAILURE_DICE for image in images])
    task = np.array([image.task for image in images], dtype=object)
    by_task: dict[str, list[Floats]] = {}
    for name in dict.fromkeys(task[chosen]):
        own = chosen & (task == name)
        found = {
            "flagged": weighted_mean(weights[:, own], flagged[own].astype(np.float64)),
            "loss_flagged": mean_drop(loss, own & flagged, weights),
            "loss_passed": mean_drop(loss, own & ~flagged, weights),
            "failures_passed": mean_drop((~flagged).astype(np.float64), own & failed, weights),
        }
        for figure, values in found.items():
            by_task.setdefault(figure, []).append(values)
    means = {figure: mean_of_defined(np.stack(values)) for figure, values in by_task.items()}
    return {
        figure: {"value": float(values[0]), "interval": drawn_interval(values[1:], patients)}
        for figure, values in means.items()
    }
