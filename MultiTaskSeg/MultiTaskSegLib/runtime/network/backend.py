"""Who computes the convolutions: the seam between the order of work (`NetworkStream`) and the libraries that do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import LEAKY_SLOPE, SegmentationNetwork, Stage, Stem
from MultiTaskSegLib.runtime.network.convolution import Convolution, fixed_convolution, plain_module
from MultiTaskSegLib.runtime.network.precision import FLOAT32

RESIDUAL_SCALE = 2**-0.5


class Backend(Protocol):
    """Computes the parts of one network; maps are float32 ``(1, C, Z, Y, X)`` tensors on ``device``.

    Attributes:
        name: for the user and the memory of measured choices.
        device: where maps are.
        plain: plain torch with the same weights, for when this back end fails; None for plain torch itself.
        precision: in which numbers are multiplied, one of `precision.DTYPES`.
    """

    name: str
    device: torch.device
    plain: Backend | None
    precision: str

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """First convolution and activation of a stage (``encoder0``, ``decoder2``).

        Args:
            stage: a name of `Architecture.layer_names`, or of `stem_stage`.
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
class StageWeights:
    """Convolutions of a stage; the rescaling of the residual sum is part of the last two."""

    first: Convolution
    second: Convolution
    shortcut: Convolution


def folded_stage(stage: Stage, device: torch.device) -> StageWeights:
    """The weights of a stage with the rescaling of its residual sum folded in."""
    second = fixed_convolution(stage.second, device, RESIDUAL_SCALE)
    shortcut = fixed_convolution(stage.shortcut, device, RESIDUAL_SCALE)
    return StageWeights(fixed_convolution(stage.first, device), second, shortcut)


def stem_stage(stem: int) -> str:
    """The name by which a back end knows the finest stage of the encoder with one of the network's stems."""
    return f"stem{stem}" if stem else "encoder0"


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


class TorchBackend:
    """Plain torch, one operation after the other: always available, and what the others are compared with.

    Args:
        network: whose weights to use; they are copied.
        device: where to compute.
        name: see `Backend`.

    Attributes:
        stages: weights by name of the stage.
        down_steps, up_steps: weights of the steps between levels, the finest first.
    """

    def __init__(self, network: SegmentationNetwork, device: torch.device, name: str = "torch") -> None:
        self.name, self.device, self.precision = name, device, str(FLOAT32)
        self.plain: Backend | None = None
        named = [("encoder", network.encoder), ("decoder", network.decoder)]
        self.stages = {
            f"{part}{level}": folded_stage(stage, device)
            for part, stages in named
            for level, stage in enumerate(stages)
            if isinstance(stage, Stage)
        }
        finest = self.stages["encoder0"]
        for number, stem in enumerate(network.stems, start=1):
            assert isinstance(stem, Stem)
            first = fixed_convolution(stem.first, device)
            shortcut = fixed_convolution(stem.shortcut, device, RESIDUAL_SCALE)
            self.stages[stem_stage(number)] = StageWeights(first, finest.second, shortcut)
        self.down_steps = [fixed_convolution(module, device) for module in network.down]
        self.up_steps = [fixed_convolution(module, device) for module in network.up]
        self._head = fixed_convolution(network.head, device)

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
        return self.down_steps[level](x)

    def up(self, level: int, x: Tensor) -> Tensor:
        """See `Backend`."""
        return self.up_steps[level](x)

    def head(self, x: Tensor, channels: slice) -> Tensor:
        """See `Backend`."""
        weight = self._head.weight[channels].flatten(1)
        rows = x[0].movedim(0, -1).reshape(-1, x.shape[1])
        # Channels first: softmax and arg-max then run along contiguous voxels.
        logits = torch.addmm(self._head.bias[channels, None], weight, rows.T)
        return logits.reshape(-1, *x.shape[2:])
