"""Pretext task: the clean image from one with noise and less resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.pretraining.pretext.pretext import PretextBatch, Views
from trainer.pretraining.pretext.reconstruction import reconstruction_head, unexplained_variance


@dataclass(frozen=True)
class Denoising:
    """Reconstruction after Gaussian noise and, half of the time, a loss of in-plane resolution.

    Attributes:
        sigma: range of the standard deviation of the noise; images are in [0, 1].
        shrink: largest factor of the loss of resolution.
    """

    sigma: tuple[float, float] = (0.05, 0.25)
    shrink: float = 3.0
    name: str = "denoising"
    views: int = 1
    needs_decoder: bool = True

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """From the finest decoder map to an image."""
        return reconstruction_head(architecture, generator)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """Every image gets its own noise; beside the image there is none, as at inference."""
        spoilt = torch.cat([self._spoil(rng, image[None]) for image in views.images]) * views.inside
        return PretextBatch(spoilt, {"clean": views.images})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Share of the clean images' variance that is not explained."""
        return unexplained_variance(head(maps["decoder0"]), batch.targets["clean"])

    def _spoil(self, rng: np.random.Generator, image: Tensor) -> Tensor:
        z, y, x = image.shape[2:]
        if rng.random() < 0.5:
            factor = rng.uniform(1.0, self.shrink)
            small = (z, max(1, round(y / factor)), max(1, round(x / factor)))
            coarse = functional.interpolate(image, size=small, mode="trilinear", align_corners=False)
            image = functional.interpolate(coarse, size=(z, y, x), mode="trilinear", align_corners=False)
        noise = rng.normal(0.0, rng.uniform(*self.sigma), size=tuple(image.shape)).astype(np.float32)
        return (image + torch.from_numpy(noise)).clamp(0, 1)
