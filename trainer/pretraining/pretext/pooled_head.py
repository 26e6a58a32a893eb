"""A head that answers one question about a whole patch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.architecture import Architecture

LAST_LAYER = 0.05


class PooledHead(nn.Module):
    """Mean of the deepest encoder map over each cell of a grid, then two layers.

    Args:
        architecture: of the network.
        hidden: width of the first layer.
        outputs: numbers per cell.
        cells: grid ``(z, y, x)``; one cell is the whole patch.
        generator: of the first weights.
        is_answer: whether the outputs are compared with a truth; if only their direction counts, they need no care.
    """

    def __init__(
        self,
        architecture: Architecture,
        hidden: int,
        outputs: int,
        generator: torch.Generator,
        cells: tuple[int, int, int] = (1, 1, 1),
        is_answer: bool = True,
    ) -> None:
        super().__init__()
        self.layer = f"encoder{len(architecture.channels) - 1}"
        self.cells = cells
        self.first = nn.Conv3d(architecture.channels[-1], hidden, 1)
        self.second = nn.Conv3d(hidden, outputs, 1)
        initialize_head(self, generator, self.second if is_answer else None)

    def forward(self, deepest: Tensor) -> Tensor:
        """``(N, C, z, y, x)`` of the deepest encoder stage to ``(N, outputs, *cells)``."""
        pooled = functional.adaptive_avg_pool3d(deepest, self.cells)
        result: Tensor = self.second(functional.leaky_relu(self.first(pooled), 0.01))
        return result


def initialize_head(head: nn.Module, generator: torch.Generator, last: nn.Conv3d | None) -> None:
    """He-normal kernels and zero biases from an explicit generator; ``last`` starts small.

    The first answers are then close to "I do not know". Wild ones would cost the network the first hundred steps, and
    some of its features for good.
    """
    with torch.no_grad():
        for module in head.modules():
            if isinstance(module, nn.Conv3d):
                module.weight.normal_(0.0, (2.0 / module.weight[0].numel()) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        if last is not None:
            last.weight.mul_(LAST_LAYER)
