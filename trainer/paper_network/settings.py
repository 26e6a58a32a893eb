"""Settings of the published network and of its training; the defaults are those of the published code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError


@dataclass(frozen=True)
class PaperSettings:
    """Karimi & Gholipour (IEEE TAI 4(2), 2023), read from github.com/engineeringmath/cnn_ood.

    Attributes:
        channels: of each level, finest first.
        dropout: share of the values that are dropped after every convolution, in training alone.
        learning_rate: of Adam, at the start.
        learning_rate_decay: factor of the learning rate after a validation that was no gain.
        least_gain: a validation is no gain where its Dice is below so many times that of the validation before.
        validation_interval: steps from one validation to the next.
        patch: voxels of a patch, and of a window of inference, along every axis; rounded up to the network's stride,
            and no larger than the image.
        window_step: distance of neighbouring windows of inference, as a share of their size.
        sampling_exponent: a case of a dataset of n is drawn with probability ~ n**-exponent; 0.5: "root-proportional".
        reference_images: of each dataset, whose spectra the check compares with.
    """

    channels: tuple[int, ...] = (14, 28, 56, 112)
    dropout: float = 0.1
    learning_rate: float = 1e-4
    learning_rate_decay: float = 0.9
    least_gain: float = 0.995
    validation_interval: int = 2000
    patch: int = 96
    window_step: float = 0.25
    sampling_exponent: float = 0.5
    reference_images: int = 40

    def __post_init__(self) -> None:
        for what, is_wrong in (
            ("channels must be two or more positive numbers", len(self.channels) < 2 or min(self.channels) < 1),
            (
                "channels must double from level to level",
                any(fine * 2 != coarse for fine, coarse in pairwise(self.channels)),
            ),
            ("dropout must be at least 0 and below 1", not 0 <= self.dropout < 1),
            ("learning_rate must be positive", self.learning_rate <= 0),
            ("learning_rate_decay must lie between 0 and 1", not 0 < self.learning_rate_decay < 1),
            ("validation_interval must be positive", self.validation_interval < 1),
            ("patch must be positive", self.patch < 1),
            ("window_step must be above 0, and at most 1", not 0 < self.window_step <= 1),
            ("reference_images must be at least 2", self.reference_images < 2),
        ):
            if is_wrong:
                raise UsageError(f"of the published network {what}", remedy="Correct the table 'paper'")

    def training_values(self) -> Mapping[str, Any]:
        """What it asks of the settings of every training: channels, head and sampling."""
        return {
            "channels": self.channels,
            "head": "shared_foreground",
            "sampling_exponent": self.sampling_exponent,
        }
