"""Pretext task: what was behind the holes (Pathak et al., "Context encoders", CVPR 2016)."""

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
class Inpainting:
    """Cells of a coarse grid are replaced by the image's mean; only they count in the loss.

    Attributes:
        masked_share: of the cells.
        cells_zyx: at most so many cells per axis; fewer where a cell would be smaller than 2 voxels.
    """

    masked_share: float = 0.35
    cells_zyx: tuple[int, int, int] = (4, 8, 8)
    name: str = "inpainting"
    views: int = 1
    needs_decoder: bool = True

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """From the finest decoder map to an image."""
        return reconstruction_head(architecture, generator)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """Every image gets its own holes, at least one, which may lie beside the image: there it changes nothing."""
        images = views.images
        sizes = images.shape[2:]
        cells = tuple(max(1, min(most, n // 2)) for most, n in zip(self.cells_zyx, sizes, strict=True))
        chosen = rng.random((len(images), 1, *cells)) < self.masked_share
        chosen.reshape(len(images), -1)[:, 0] |= ~chosen.reshape(len(images), -1).any(axis=1)
        coarse = torch.from_numpy(chosen.astype(np.float32))
        holes = functional.interpolate(coarse, size=tuple(sizes), mode="nearest") > 0.5
        holes &= views.inside
        mean = images.mean(dim=(2, 3, 4), keepdim=True)
        return PretextBatch(torch.where(holes, mean, images), {"whole": images, "holes": holes})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Squared error in the holes over the variance of the images."""
        return unexplained_variance(head(maps["decoder0"]), batch.targets["whole"], batch.targets["holes"])
