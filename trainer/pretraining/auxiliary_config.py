"""Settings of auxiliary losses: the table ``[auxiliary]`` of a configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from MultiTaskSegLib.runtime.errors import UsageError


@dataclass(frozen=True)
class AuxiliaryConfig:
    """How pretext tasks are trained along.

    Attributes:
        weight: λ of ``L_seg + λ L_aux`` when one pretext task is trained beside segmentation.
        schedule: λ over the run: ``constant``; ``linear`` or ``cosine`` down to 0 at its end.
        images_per_step: images in a batch of a pretext task.

    Raises:
        UsageError: a number is one that no training can have.
    """

    weight: float = 0.3
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    images_per_step: int = 8

    def __post_init__(self) -> None:
        if self.images_per_step < 1 or not self.weight >= 0:
            raise UsageError(
                f"[auxiliary] has images_per_step {self.images_per_step} and weight {self.weight}",
                remedy="Use 1 image or more, and a weight of 0 or more",
            )

    def weight_at(self, progress: float) -> float:
        """λ when a share of the run is over.

        >>> AuxiliaryConfig(weight=2.0, schedule="linear").weight_at(0.25)
        1.5
        """
        share = min(max(progress, 0.0), 1.0)
        factors = {"constant": 1.0, "linear": 1.0 - share, "cosine": 0.5 * (1.0 + cos(pi * share))}
        return self.weight * factors[self.schedule]
