"""A guard against wrong gradients of convolutions over maps of two slices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SLICES = 2


def guard_two_slice_maps(network: nn.Module) -> None:
    """Let convolutions that see a neighbour along z never be asked about maps of exactly two slices.

    In bfloat16 on processors oneDNN then gives wrong gradients of the weights (off by a third, infinite or NaN; seen
    with torch 2.13). A slice of zeros more is what the convolution's own padding adds anyway; its result is cut off, so
    that the values are those of the plain convolution.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and (module.kernel_size[0], module.stride[0], module.padding[0]) == (3, 1, 1):
            guard = _Guard()
            module.register_forward_pre_hook(guard.before)
            module.register_forward_hook(guard.after)


class _Guard:
    """Of one convolution; remembers between the two hooks whether a slice was added."""

    def __init__(self) -> None:
        self._is_longer = False

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
        """Add a slice where it is needed."""
        (maps,) = inputs
        self._is_longer = maps.shape[2] == SLICES
        if self._is_longer:
            maps = nn.functional.pad(maps, (0, 0, 0, 0, 0, 1)).contiguous(memory_format=torch.channels_last_3d)
        return (maps,)

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Cut its result off."""
        return output[:, :, :SLICES] if self._is_longer else output
