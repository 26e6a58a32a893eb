"""Views to be distilled on; the student may see a harder version of them than its teachers.

Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence" (NeurIPS 2020), and Xie et
al., "Self-training with noisy student improves ImageNet classification" (CVPR 2020): teachers answer for the view as it
is, and the student has to give the same answer for a view that is harder to read. Nothing is moved, so the answers stay
where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.data.augmentation import Augmentation, change_intensity
from trainer.pretraining.pretext.pretext import PretextBatch, Views

SEEN_BY_TEACHERS = "seen by teachers"
NO_MOVE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class StudentViews:
    """Views in the form of a pretext task without question, so that batches are drawn the same way.

    Harder ones have intensities changed more than in training, and boxes painted over (cutout, DeVries & Taylor 2017).

    Attributes:
        are_harder: whether the student sees harder versions than the teachers, or the same.
        holes: boxes per image, at most.
        hole_share: longest side of a box as a share of the image's.
    """

    are_harder: bool
    holes: int = 2
    hole_share: float = 0.33
    name: str = "distillation"
    views: int = 1
    needs_decoder: bool = True

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """Nothing is predicted beside the segmentation."""
        return nn.Identity()

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """What the student sees; where it is harder, what the teachers see is the target `SEEN_BY_TEACHERS`."""
        if not self.are_harder:
            return PretextBatch(views.images)
        harder = torch.stack([self._perturb(rng, image) for image in views.images]) * views.inside
        return PretextBatch(harder, {SEEN_BY_TEACHERS: views.images})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """None."""
        return maps["decoder0"].sum() * 0.0

    def _perturb(self, rng: np.random.Generator, image: Tensor) -> Tensor:
        harder = change_intensity(_strong(rng), image[None])[0]
        for _ in range(int(rng.integers(0, self.holes + 1))):
            harder = painted_over(rng, harder, self.hole_share)
        return harder


def painted_over(rng: np.random.Generator, image: Tensor, share: float) -> Tensor:
    """``(1, Z, Y, X)`` with a box of one grey value; no side of it is longer than a share of the image's.

    The box goes through the only slice of a 2-D image.
    """
    z, y, x = (_stretch(rng, n, share) for n in image.shape[1:])
    result = image.clone()
    result[:, z, y, x] = float(rng.uniform())
    return result


def _strong(rng: np.random.Generator) -> Augmentation:
    """Twice the ranges of `trainer.data.augmentation.draw_augmentation`, and always drawn."""
    return Augmentation(
        (0.0, 0.0, 0.0),
        NO_MOVE,
        gamma=float(np.exp(rng.uniform(-0.8, 0.8))),
        contrast=float(rng.uniform(0.5, 1.5)),
        brightness=float(rng.uniform(-0.2, 0.2)),
        noise_sigma=float(rng.uniform(0.0, 0.12)),
        noise_seed=int(rng.integers(2**31)),
        blur_sigma=float(rng.uniform(0.4, 1.2)) if rng.random() < 0.3 else 0.0,
        shrink=float(rng.uniform(1.0, 3.0)) if rng.random() < 0.3 else 1.0,
    )


def _stretch(rng: np.random.Generator, length: int, share: float) -> slice:
    """Part of an axis; the whole of an axis with a single voxel."""
    if length == 1:
        return slice(None)
    size = int(rng.integers(1, max(1, round(share * length)) + 1))
    start = int(rng.integers(0, length - size + 1))
    return slice(start, start + size)
