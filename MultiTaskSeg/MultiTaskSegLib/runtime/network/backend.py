"""Who computes the convolutions: the seam between the order of work (`NetworkStream`) and the libraries that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import LEAKY_SLOPE, SegmentationNetwork, Stage, Triple

RESIDUAL_SCALE = 2**-0.5
UNIT: Triple = (1, 1, 1)


class Backend(Protocol):
    """Computes the parts of one network; maps are ``(1, C, Z, Y, X)`` tensors on ``device``.

    Attributes:
        name: for the user and the memory of measured choices.
        device: where maps are.
        dtype: of maps.
    """

    name: str
    device: torch.device
    dtype: torch.dtype

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """First convolution and activation of a stage (``encoder0``, ``decoder2``).

        Args:
            stage: a name of `Architecture.layer_names`.
            window: input with the context along z that the kernel needs, unless ``pad_z``.
            pad_z: pad with zeros along z, too, as is always done in the plane.
        """

    def shortcut(self, stage: str, centre: Tensor) -> Tensor:
        """What a stage's input adds to its output; on its own, so that the input need not wait for `second`.

        Args:
            stage: see `first`.
            centre: the stage's input for the slices of the result.
        """

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """Second convolution of a stage, residual sum and activation.

        Args:
            stage: see `first`.
            window: output of `first` with context.
            added: output of `shortcut`.
            pad_z: see `first`.
        """

    def down(self, level: int, x: Tensor) -> Tensor:
        """Step from ``level`` to the next coarser one."""

    def up(self, level: int, x: Tensor) -> Tensor:
        """Channels of the level below as those of ``level``, still on its coarser grid."""

    def head(self, x: Tensor, channels: slice) -> Tensor:
        """Logits ``(channels, Z, Y, X)`` of some of the head's channels."""


@dataclass(frozen=True)
class Convolution:
    """Weights and bias of one convolution, its step, and its padding in the plane and along z."""

    weight: Tensor
    bias: Tensor
    stride: Triple
    padding: Triple

    def __call__(self, x: Tensor, pad_z: bool = True) -> Tensor:
        """Convolve ``(1, C, Z, Y, X)``."""
        padding = self.padding if pad_z else (0, *self.padding[1:])
        if x.device.type == "cpu" and torch.backends.mkldnn.is_available() and x.dtype == torch.float32:
            # Asked for by name, because torch takes a route of its own for small maps that is several times slower.
            return torch.mkldnn_convolution(x, self.weight, self.bias, padding, self.stride, UNIT, 1)
        return nn.functional.conv3d(x, self.weight, self.bias, self.stride, padding)


@dataclass(frozen=True)
class StageWeights:
    """Convolutions of a stage; the rescaling of the residual sum is part of the last two."""

    first: Convolution
    second: Convolution
    shortcut: Convolution


def folded_stage(stage: Stage, device: torch.device, dtype: torch.dtype) -> StageWeights:
    """The weights of a stage with the rescaling of its residual sum folded in."""
    second = _convolution(stage.second, device, dtype, RESIDUAL_SCALE)
    shortcut = _convolution(stage.shortcut, device, dtype, RESIDUAL_SCALE)
    return StageWeights(_convolution(stage.first, device, dtype), second, shortcut)


def _convolution(module: nn.Module, device: torch.device, dtype: torch.dtype, scale: float = 1.0) -> Convolution:
    assert isinstance(module, nn.Conv3d)
    assert module.bias is not None
    weight = (module.weight.detach() * scale).to(device, dtype).contiguous(memory_format=torch.channels_last_3d)
    bias = (module.bias.detach() * scale).to(device, dtype)
    return Convolution(weight, bias, _triple(module.stride), _triple(module.padding))


def _triple(values: object) -> Triple:
    assert isinstance(values, tuple)
    z, y, x = values
    return z, y, x


class FirstPart(nn.Module):
    """`Backend.first` of one stage as a module, for libraries that take modules; never pads along z."""

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        self.convolution = plain_module(convolution)

    def forward(self, window: Tensor) -> Tensor:
        """``(1, C, Z, Y, X)`` to ``(1, C, Z - context, Y, X)``."""
        return nn.functional.leaky_relu(self.convolution(window), LEAKY_SLOPE)


class SecondPart(nn.Module):
    """`Backend.second` of one stage as a module; never pads along z."""

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        self.convolution = plain_module(convolution)

    def forward(self, window: Tensor, added: Tensor) -> Tensor:
        """``(1, C, Z, Y, X)`` and what is added to its inner slices to ``(1, C, Z - context, Y, X)``."""
        return nn.functional.leaky_relu(self.convolution(window) + added, LEAKY_SLOPE)


def plain_module(convolution: Convolution) -> nn.Conv3d:
    """A module with the same weights, without padding along z."""
    channels_out, channels_in, z, y, x = convolution.weight.shape
    module = nn.Conv3d(channels_in, channels_out, (z, y, x), padding=(0, *convolution.padding[1:]))
    module.weight = nn.Parameter(convolution.weight, requires_grad=False)
    module.bias = nn.Parameter(convolution.bias, requires_grad=False)
    return module


class TorchBackend:
    """Plain torch, one operation after the other: always available, and what the others are compared with.

    Args:
        network: whose weights to use; they are copied.
        device: where to compute.
        dtype: of maps and weights.
        name: see `Backend`.

    Attributes:
        stages: weights by name of the stage.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        name: str = "torch",
    ) -> None:
        self.name, self.device, self.dtype = name, device, dtype
        named = [("encoder", network.encoder), ("decoder", network.decoder)]
        self.stages = {
            f"{part}{level}": folded_stage(stage, device, dtype)
            for part, stages in named
            for level, stage in enumerate(stages)
            if isinstance(stage, Stage)
        }
        self._down = [_convolution(module, device, dtype) for module in network.down]
        self._up = [_convolution(module, device, dtype) for module in network.up]
        self._head = _convolution(network.head, device, dtype)

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        convolved = self.stages[stage].first(window, pad_z)
        return nn.functional.leaky_relu_(convolved, LEAKY_SLOPE)

    def shortcut(self, stage: str, centre: Tensor) -> Tensor:
        """See `Backend`."""
        return self.stages[stage].shortcut(centre)

    def second(self, stage: str, window: Tensor, added: Tensor, pad_z: bool) -> Tensor:
        """See `Backend`."""
        total = self.stages[stage].second(window, pad_z).add_(added)
        return nn.functional.leaky_relu_(total, LEAKY_SLOPE)

    def down(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        return self._down[level](x)

    def up(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        return self._up[level](x)

    def head(self, x: Tensor, channels: slice) -> Tensor:
        """See `Backend`."""
        weight = self._head.weight[channels].flatten(1)
        rows = x[0].movedim(0, -1).reshape(-1, x.shape[1])
        # Channels first: softmax and arg-max then run along contiguous voxels.
        logits = torch.addmm(self._head.bias[channels, None], weight, rows.T)
        return logits.float().reshape(-1, *x.shape[2:])
