"""Plain torch with convolutions in 16 bits."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import LEAKY_SLOPE
from MultiTaskSegLib.runtime.network.backend import Backend, StageWeights, TorchBackend
from MultiTaskSegLib.runtime.network.convolution import Convolution
from MultiTaskSegLib.runtime.network.precision import DTYPES, Lower


class ReducedBackend:
    """Products of 16-bit numbers; sums of residuals, the head, and maps between stages in float32.

    What the verdict is drawn from (products of maps with each other) and what becomes probabilities is as ever.

    Args:
        plain: whose weights to use, and what takes over where this fails.
        precision: of the convolutions.
    """

    def __init__(self, plain: TorchBackend, precision: Lower) -> None:
        self.name, self.device, self.precision = f"torch-{precision}", plain.device, str(precision)
        self.plain: Backend | None = plain
        self._dtype = DTYPES[precision]
        self._stages = {
            name: StageWeights(*(self._reduced(own) for own in (weights.first, weights.second, weights.shortcut)))
            for name, weights in plain.stages.items()
        }
        self._down = [self._reduced(own) for own in plain.down_steps]
        self._up = [self._reduced(own) for own in plain.up_steps]
        self.head = plain.head

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        return nn.functional.leaky_relu_(self._run(self._stages[stage].first, window, pad_z), LEAKY_SLOPE)

    def shortcut(self, stage: str, centre: Tensor) -> Tensor:
        """See `Backend`."""
        return self._run(self._stages[stage].shortcut, centre)

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        total = self._run(self._stages[stage].second, window, pad_z).add_(added)
        return nn.functional.leaky_relu_(total, LEAKY_SLOPE)

    def down(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        return self._run(self._down[level], x)

    def up(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        return self._run(self._up[level], x)

    def _run(self, convolution: Convolution, x: Tensor, pad_z: bool = True) -> Tensor:
        return convolution(x.to(self._dtype), pad_z).to(torch.float32)

    def _reduced(self, convolution: Convolution) -> Convolution:
        return replace(convolution, weight=convolution.weight.to(self._dtype), bias=convolution.bias.to(self._dtype))
