"""Measured images of patients, kinds and tasks, with whatever is to be planted in them."""

from __future__ import annotations

from collections.abc import Mapping

from MultiTaskSegLib.runtime.quality.trait_names import TRAITS as ONE_PASS
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.quality_regression import FOREST_TRAITS, TRAITS


def measured(
    patient: str,
    dice: float,
    *,
    task: str = "A",
    kind: str = CLEAN,
    severity: int = 0,
    traits: Mapping[str, float] | None = None,
    score: float = 1.0,
    is_ood: bool = False,
    agreement: Mapping[str, float] | None = None,
) -> MeasuredImage:
    """An image of one structure with the given mean Dice; traits that are not given are 0.5."""
    every = dict.fromkeys((*TRAITS, *FOREST_TRAITS, *ONE_PASS), 0.5) | dict(traits or {})
    return MeasuredImage(
        task, patient, patient, kind, severity, {"part": dice}, {"part": 0.5}, every, {"part": 10.0}, score, is_ood,
        1.0, agreement or {},
    )  # fmt: skip
