"""Pretext task: where shuffled tiles belong (Noroozi & Favaro, "Unsupervised learning of visual representations by
solving jigsaw puzzles", ECCV 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from trainer.pretraining.pretext.pooled_head import PooledHead
from trainer.pretraining.pretext.pretext import PretextBatch, Views

HIDDEN = 64
CELLS: Triple = (2, 3, 3)


@dataclass(frozen=True)
class RelativePosition:
    """A jigsaw puzzle of 3 x 3 tiles, in 3-D of two layers of them; each tile says where it came from.

    A gap around the tiles keeps the answer from being read off matching edges.

    Attributes:
        gap: share of a tile's side that is blanked, in the plane.
    """

    gap: float = 0.15
    name: str = "relative-position"
    views: int = 1
    needs_decoder: bool = False

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """For each tile one of the places."""
        cells = _cells(architecture)
        return PooledHead(architecture, HIDDEN, int(np.prod(cells)), generator, cells)

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """Every image gets its own permutation; what is left over beside the tiles is blank."""
        places = int(np.prod(_cells(architecture)))
        orders = np.stack([rng.permutation(places) for _ in range(len(views.images))])
        shuffled = torch.stack(
            [self.shuffle(image, order, architecture) for image, order in zip(views.images, orders, strict=True)]
        )
        return PretextBatch(shuffled, {"origin": torch.from_numpy(orders.astype(np.int64))})

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Cross-entropy over the tiles."""
        answers = head(maps[head.layer]).flatten(2).float()  # type: ignore[index]
        return functional.cross_entropy(answers, batch.targets["origin"])

    def shuffle(self, image: Tensor, order: np.ndarray, architecture: Architecture) -> Tensor:
        """Put at place i of ``(1, Z, Y, X)`` the tile that was at place ``order[i]``, with its border blanked."""
        cells = _cells(architecture)
        tile = [max(1, n // c) for n, c in zip(image.shape[1:], cells, strict=True)]
        margins = [0, *(max(1, round(self.gap * n / 2)) if n > 3 else 0 for n in tile[1:])]
        places = [tuple(int(i) for i in np.unravel_index(k, cells)) for k in range(int(np.prod(cells)))]
        result = torch.zeros_like(image)
        for target, source in zip(places, (places[k] for k in order), strict=True):
            result[_inside(target, tile, margins)] = image[_inside(source, tile, margins)]
        return result


def _cells(architecture: Architecture) -> Triple:
    """Thin or planar images are one layer of tiles."""
    return CELLS if architecture.total_stride[0] > 1 else (1, *CELLS[1:])


def _inside(place: tuple[int, ...], tile: list[int], margins: list[int]) -> tuple[slice, ...]:
    corners = [p * n for p, n in zip(place, tile, strict=True)]
    return (slice(None), *(slice(c + m, c + n - m) for c, n, m in zip(corners, tile, margins, strict=True)))
