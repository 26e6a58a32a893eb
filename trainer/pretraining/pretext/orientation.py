"""Pretext task: how the image was turned (Gidaris et al., "Unsupervised representation learning by predicting image
rotations", ICLR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.pretraining.pretext.pooled_head import PooledHead
from trainer.pretraining.pretext.pretext import PretextBatch, Views

QUARTERS = 4
HIDDEN = 64


@dataclass(frozen=True)
class Orientation:
    """Quarter turns in the plane; in 3-D each of them also upside down: the 8 rotations that keep slices slices.

    Only proper rotations: a mirrored body looks almost like a body.
    """

    name: str = "orientation"
    views: int = 1
    needs_decoder: bool = False

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """One of 4 or 8 classes from the deepest encoder map."""
        return PooledHead(architecture, HIDDEN, 2 * QUARTERS, generator)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """Cut the plane to a square, which a quarter turn maps onto itself, and turn it."""
        images = square(views.images, architecture)
        classes = 2 * QUARTERS if images.shape[2] > 1 else QUARTERS
        answers = rng.integers(classes, size=len(images))
        turned = torch.stack([turn(image, int(answer)) for image, answer in zip(images, answers, strict=True)])
        return PretextBatch(turned, {"turn": torch.from_numpy(answers.astype(np.int64))})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Cross-entropy."""
        answers = head(maps[head.layer]).flatten(1).float()  # type: ignore[index]
        return functional.cross_entropy(answers, batch.targets["turn"])


def turn(image: Tensor, number: int) -> Tensor:
    """Rotation ``number`` (0 to 7) of ``(1, Z, Y, X)`` with Y = X: number % 4 quarters, then upside down from 4 on."""
    quarters = torch.rot90(image, number % QUARTERS, dims=(2, 3))
    return quarters.flip(1, 2) if number >= QUARTERS else quarters


def square(images: Tensor, architecture: Architecture) -> Tensor:
    """The middle of the planes, as large a square as the network's stride allows."""
    stride = int(np.lcm(architecture.total_stride[1], architecture.total_stride[2]))
    y, x = images.shape[3:]
    side = min(y, x) // stride * stride
    return images[:, :, :, (y - side) // 2 :, (x - side) // 2 :][:, :, :, :side, :side]
