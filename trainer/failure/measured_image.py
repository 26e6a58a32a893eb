"""One image that was segmented and compared with its truth, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.metrics.overlap import mean_defined

CLEAN = "clean"


@dataclass(frozen=True)
class MeasuredImage:
    """What is known of an image.

    Attributes:
        task, case, group: where it comes from; images of one group are of one patient.
        kind: of the artefact, or `CLEAN`.
        severity: 1 to 3; 0 of clean images.
        dice: by label name, on the image's own grid; NaN where neither truth nor result has the label.
        expected_dice: by label name, from calibrated probabilities; NaN of structures that were not found.
        traits: see `trainer.failure.image_traits`; NaN where there is nothing to measure.
        volumes_ml: by label name, of the result, in millilitres.
        score, is_ood: of the out-of-distribution check.
        seconds: of one pass, from the volume in memory to the maps.
        agreement: by way of repeating the segmentation, the pairwise Dice; NaN where nothing was found.
    """

    task: str
    case: str
    group: str
    kind: str
    severity: int
    dice: Mapping[str, float]
    expected_dice: Mapping[str, float]
    traits: Mapping[str, float]
    volumes_ml: Mapping[str, float]
    score: float
    is_ood: bool
    seconds: float
    agreement: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Over the labels that truth or result have; NaN where there is none."""
        return mean_defined(list(self.dice.values()))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> MeasuredImage:
        """What `as_dict` gave, after JSON: null is NaN again."""
        tables = ("dice", "expected_dice", "traits", "volumes_ml", "agreement")
        numbers = {name: {key: _number(value) for key, value in plain[name].items()} for name in tables}
        return cls(**{**plain, **numbers})


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
