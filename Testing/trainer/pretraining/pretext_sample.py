"""Random views and small networks for pretext tasks, in 2-D and 3-D."""

from __future__ import annotations

import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.pretraining.pretext.pretext import Views

PLANAR = Architecture((4, 6, 8), ((1, 2, 2), (1, 2, 2)), ((1, 3, 3),) * 3, 2)
SOLID = Architecture((4, 6, 8), ((1, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, 2)
SHAPES = {PLANAR: (1, 24, 24), SOLID: (4, 24, 32)}


def views(architecture: Architecture, images: int = 4, seed: int = 3) -> Views:
    """Views of random images, of which the first two are of class 0 and 1, the others of none."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand((images, 1, *SHAPES[architecture]), generator=generator)
    return Views(values, torch.tensor([0, 1, *[-1] * (images - 2)]), torch.ones_like(values, dtype=torch.bool))
