"""Settings of nnU-Net as an arm of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from MultiTaskSegLib.runtime.errors import UsageError


@dataclass(frozen=True)
class NnunetSettings:
    """How nnU-Net is run; whatever is not here is as its own planner and trainer have it.

    Attributes:
        python: of an environment with nnunetv2; empty: the one that runs the experiment.
        as_much_as: arm whose CPU seconds its training gets, on the same dataset with the same labels and seed.
        configuration: of its plans; ``auto``: ``2d`` of 2-D images, else ``3d_fullres``.
        memory_gb: of the graphics card that its planner plans patches and batches for; 0: the planner's own default.
        mirror: whether its predictor also looks at mirrored images, its default, at up to eight times the cost.
    """

    python: str = ""
    as_much_as: str = "dedicated"
    configuration: Literal["auto", "2d", "3d_fullres"] = "auto"
    memory_gb: float = 0.0
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.memory_gb < 0:
            raise UsageError("memory_gb of nnU-Net is negative", remedy="Correct the table 'nnunet'; 0: its default")

    def configuration_of(self, *, is_planar: bool) -> str:
        """The name of the configuration for images of two or three dimensions."""
        if self.configuration != "auto":
            return self.configuration
        return "2d" if is_planar else "3d_fullres"
