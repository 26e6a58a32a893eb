"""What a pretext task is: a target that images give without labels, a head that predicts it, and a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import Architecture

UNKNOWN_CATEGORY = -1


@dataclass(frozen=True)
class Views:
    """Augmented patches of some images, the same number of each image.

    Attributes:
        images: float32 ``(V * B, 1, Z, Y, X)`` in [0, 1]; view v of image b is at ``v * B + b``.
        categories: int64 ``(V * B,)``: the image's class, `UNKNOWN_CATEGORY` when it has none.
        inside: bool, as the images: where there is an image; the rest is padding, which stays 0.
    """

    images: Tensor
    categories: Tensor
    inside: Tensor


@dataclass(frozen=True)
class PretextBatch:
    """What the network sees, and what the head is to say about it.

    Attributes:
        inputs: float32 ``(N, 1, Z, Y, X)``; Z, Y and X are multiples of the network's total stride.
        targets: by name; only the task itself knows them.
    """

    inputs: Tensor
    targets: dict[str, Tensor] = field(default_factory=dict)


class PretextTask(Protocol):
    """A pretext (auxiliary) task. A further one is one file with a class of this form.

    Everything random comes from the generator that is passed in, so that a batch can be made again from its number.
    """

    @property
    def name(self) -> str:
        """One word, for folders and tables."""

    @property
    def views(self) -> int:
        """Patches cut from each image."""

    @property
    def needs_decoder(self) -> bool:
        """Whether the head looks at decoder maps; without them half of the network need not run."""

    def head(self, architecture: Architecture, generator: torch.Generator) -> nn.Module:
        """Trained along with the network and dropped afterwards."""

    def draw(self, rng: np.random.Generator, views: Views, architecture: Architecture) -> PretextBatch:
        """Draw what is done to the views, do it, and say what the head is to answer."""

    def loss(self, head: nn.Module, maps: Mapping[str, Tensor], batch: PretextBatch) -> Tensor:
        """Scalar loss.

        Args:
            head: from `head`.
            maps: feature maps of ``batch.inputs`` by layer name, as `SegmentationNetwork.features` gives them; only
                encoder maps when ``needs_decoder`` is false.
            batch: from `draw`.
        """
