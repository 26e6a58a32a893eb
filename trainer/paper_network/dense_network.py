"""The published network: a U-Net whose every level sees the raw image and all earlier levels, without normalisation.

Karimi & Gholipour, ``dk_model.davood_net``: the input of an encoder level is the concatenation of the raw image,
brought to its resolution by strided convolutions, and of every earlier level's output, brought there likewise; with 14
channels of the image this makes 14, 28, 56 and 112. Of 2-D images the kernels are flat along z.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple

FIRST_BIAS = 0.001
LEVELS_DOUBLE = "the channels of the published network double from level to level"


class Unit(nn.Module):
    """A convolution, a rectifier and dropout."""

    def __init__(self, convolution: nn.Module, dropout: float) -> None:
        super().__init__()
        self.convolution = convolution
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C_in, Z, Y, X)`` to ``(B, C_out, Z', Y', X')``."""
        result: Tensor = self.dropout(functional.relu(self.convolution(x)))
        return result


class ResidualPairs(nn.Module):
    """Two pairs of convolutions; what went into each pair is added to what the last one gives."""

    def __init__(self, channels: int, kernel: Triple, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(*(Unit(_convolution(channels, channels, kernel), dropout) for _ in range(2)))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, Z, Y, X)`` to the same shape."""
        between = self.first(x) + x
        result: Tensor = self.second(between) + between + x
        return result


class DenseNetwork(nn.Module):
    """The network for images of one channel.

    Args:
        architecture: channels, strides, kernels and outputs.
        dropout: share of the values that are dropped while it is trained.

    Raises:
        UsageError: the channels do not double from level to level, or images of several channels are asked for.
    """

    def __init__(self, architecture: Architecture, dropout: float) -> None:
        super().__init__()
        self.architecture = architecture
        channels, kernels, strides = architecture.channels, architecture.kernels, architecture.strides
        if any(fine * 2 != coarse for fine, coarse in pairwise(channels)):
            raise UsageError(f"{LEVELS_DOUBLE}, not {list(channels)}", remedy="Correct channels in the table 'paper'")
        if architecture.stems != (1,):
            raise UsageError("the published network takes images of one channel", remedy="Leave other datasets out")
        levels = range(len(channels))

        def path(channels_in: int, channels_out: int, first: int, last: int) -> nn.Sequential:
            """Strided convolutions from one level to a coarser one."""
            counts = [channels_in, *[channels_out] * (last - first)]
            return nn.Sequential(
                *(
                    Unit(_convolution(counts[i], channels_out, kernels[first + i], strides[first + i]), dropout)
                    for i in range(last - first)
                )
            )

        # At the finest level nothing has to be strided: there the image goes through one convolution.
        finest = Unit(_convolution(1, channels[0], kernels[0]), dropout)
        self.image_paths = nn.ModuleList([finest, *(path(1, channels[0], 0, level) for level in levels[1:])])
        self.level_paths = nn.ModuleList(
            nn.ModuleList(path(channels[early], channels[early], early, level) for early in range(level))
            for level in levels
        )
        self.encoder = nn.ModuleList(ResidualPairs(channels[i], kernels[i], dropout) for i in levels)
        # A level of the decoder is twice as wide as the encoder's; only the coarsest one's input is not.
        widths = [2 * count for count in channels[:-1]] + [channels[-1]]
        self.up = nn.ModuleList(
            Unit(_transposed(widths[i + 1], widths[i + 1] // 2, kernels[i], strides[i]), dropout) for i in levels[:-1]
        )
        self.join = nn.ModuleList(
            Unit(_convolution(widths[i + 1] // 2 + channels[i], widths[i], kernels[i]), dropout) for i in levels[:-1]
        )
        self.decoder = nn.ModuleList(ResidualPairs(widths[i], kernels[i], dropout) for i in levels[:-1])
        self.head = _convolution(widths[0], architecture.outputs, kernels[0])

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Maps of all levels by name for input ``(B, 1, Z, Y, X)``, whose sides are multiples of the total stride."""
        maps: dict[str, Tensor] = {}
        for level, (image_path, level_paths) in enumerate(zip(self.image_paths, self.level_paths, strict=True)):
            assert isinstance(level_paths, nn.ModuleList)
            earlier = [path(maps[f"encoder{early}"]) for early, path in enumerate(level_paths)]
            maps[f"encoder{level}"] = self.encoder[level](torch.cat([image_path(x), *earlier], dim=1))
        x = maps[f"encoder{len(self.encoder) - 1}"]
        for level in reversed(range(len(self.decoder))):
            joined = self.join[level](torch.cat([self.up[level](x), maps[f"encoder{level}"]], dim=1))
            x = maps[f"decoder{level}"] = self.decoder[level](joined)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, outputs, Z, Y, X)`` for input ``(B, 1, Z, Y, X)``."""
        result: Tensor = self.head(self.features(x)["decoder0"])
        return result


def initialize(network: DenseNetwork, seed: int) -> None:
    """Weights from a normal distribution that is cut off at two standard deviations (He's), small biases."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                fan_in = module.in_channels * module.weight[0, 0].numel()
                deviation = (2.0 / fan_in) ** 0.5
                nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
                assert module.bias is not None
                module.bias.fill_(FIRST_BIAS)


def _convolution(channels_in: int, channels_out: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Conv3d:
    padding = tuple(k // 2 for k in kernel)
    return nn.Conv3d(channels_in, channels_out, kernel, stride=stride, padding=padding)  # type: ignore[arg-type]


def _transposed(channels_in: int, channels_out: int, kernel: Triple, stride: Triple) -> nn.ConvTranspose3d:
    """To a grid that is finer by exactly the stride."""
    padding = tuple(k // 2 for k in kernel)
    more = tuple(step + 2 * pad - k for step, pad, k in zip(stride, padding, kernel, strict=True))
    return nn.ConvTranspose3d(channels_in, channels_out, kernel, stride, padding, more)  # type: ignore[arg-type]
