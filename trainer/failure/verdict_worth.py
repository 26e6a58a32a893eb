"""What the verdict is worth: how much Dice is lost in images that it flags, and in those that it lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.failure.failure_flag import FAILURE_DICE, mean_drop
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.metrics.interval import drawn_interval
from trainer.metrics.task_mean import task_mean

Floats = NDArray[np.float64]


def verdict_worth(images: Sequence[MeasuredImage], weights: Floats) -> dict[str, Any]:
    """Figures by kind of artefact and over all kinds, each a mean over tasks.

    The loss of an image is the Dice of the same image without the artefact minus its own; images without such a twin
    (the clean one could not be measured) are left out.

    Args:
        images: clean ones and spoilt ones, whose Dice is defined.
        weights: ``(1 + rounds, N)``, all ones first.

    Returns:
        by kind, and ``all``: ``flagged`` (share), ``loss_flagged``, ``loss_passed`` (mean loss of Dice) and
        ``failures_passed`` (share of failures that are not flagged), each with value and interval; an interval rests on
        the patients whose images count for the figure.
    """
    clean = {(image.task, image.case): image.mean_dice for image in images if image.kind == CLEAN}
    loss = np.array([clean.get((image.task, image.case), np.nan) - image.mean_dice for image in images])
    spoilt = np.array([image.kind != CLEAN for image in images]) & ~np.isnan(loss)
    kind = np.array([image.kind for image in images], dtype=object)
    kinds = list(dict.fromkeys(kind[spoilt]))
    chosen = {"all": spoilt, **{name: spoilt & (kind == name) for name in kinds}} if kinds else {}
    return {name: _worth(images, loss, own, weights) for name, own in chosen.items()}


def _worth(images: Sequence[MeasuredImage], loss: Floats, chosen: NDArray[np.bool_], weights: Floats) -> dict[str, Any]:
    flagged = np.array([image.is_ood for image in images])
    failed = np.array([image.mean_dice < FAILURE_DICE for image in images])
    is_passed = (~flagged).astype(np.float64)
    counted = {
        "flagged": (1 - is_passed, chosen),
        "loss_flagged": (loss, chosen & flagged),
        "loss_passed": (loss, chosen & ~flagged),
        "failures_passed": (is_passed, chosen & failed),
    }
    return {figure: _mean_over_tasks(images, values, own, weights) for figure, (values, own) in counted.items()}


def _mean_over_tasks(
    images: Sequence[MeasuredImage], values: Floats, chosen: NDArray[np.bool_], weights: Floats
) -> dict[str, Any]:
    task = np.array([image.task for image in images], dtype=object)
    means = task_mean([mean_drop(values, chosen & (task == name), weights) for name in dict.fromkeys(task)])
    patients = {image.group for image, counts in zip(images, chosen, strict=True) if counts}
    return {"value": float(means[0]), "interval": drawn_interval(means[1:], len(patients))}
