"""Pretext task: which patches are of the same image (Chen et al., "A simple framework for contrastive learning of
visual representations", ICML 2020)."""

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


@dataclass(frozen=True)
class Contrastive:
    """Two views of an image are to be nearer to each other than to views of the other images of the batch.

    Attributes:
        temperature: of the similarities.
        dimensions: of the space they are compared in.
    """

    temperature: float = 0.2
    dimensions: int = 32
    name: str = "contrastive"
    views: int = 2
    needs_decoder: bool = False

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """Projection of the deepest encoder map."""
        return PooledHead(architecture, architecture.channels[-1], self.dimensions, generator, is_answer=False)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """The views are different already."""
        return PretextBatch(views.images)

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """NT-Xent, equation 1 of the paper."""
        return nt_xent(head(maps[head.layer]).flatten(1).float(), self.temperature)  # type: ignore[index]


def nt_xent(vectors: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy.

    Args:
        vectors: ``(2 * B, D)``; the partner of i is ``i + B`` or ``i - B``.
        temperature: divisor of the cosine similarities.
    """
    unit = functional.normalize(vectors, dim=1)
    similarity = unit @ unit.T / temperature
    others = similarity.masked_fill(torch.eye(len(unit), dtype=torch.bool, device=unit.device), float("-inf"))
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return functional.cross_entropy(others, partner)
