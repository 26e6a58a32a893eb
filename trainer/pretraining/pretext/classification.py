"""Pre-training on the class of an image, where images have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.pretraining.pretext.pooled_head import PooledHead
from trainer.pretraining.pretext.pretext import UNKNOWN_CATEGORY, PretextBatch, Views

HIDDEN = 64


@dataclass(frozen=True)
class Classification:
    """The class of the whole image from a patch of it.

    Attributes:
        classes: how many.
    """

    classes: int
    name: str = "classification"
    views: int = 1
    needs_decoder: bool = False

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """One of the classes from the deepest encoder map."""
        return PooledHead(architecture, HIDDEN, self.classes, generator)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """The images as they are."""
        return PretextBatch(views.images, {"category": views.categories})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Cross-entropy over the images that have a class; 0 when none has."""
        answers: Tensor = head(maps[head.layer]).flatten(1).float()  # type: ignore[index]
        known = batch.targets["category"] != UNKNOWN_CATEGORY
        if not bool(known.any()):
            return answers.sum() * 0.0
        return functional.cross_entropy(answers[known], batch.targets["category"][known])
