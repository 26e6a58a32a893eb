"""The network: a residual U-Net without activation statistics, so that every tile gives the same answer.

There is no normalisation layer at inference. Training standardises the weights (`weight_standardization`)
and bakes the result into plain convolutions. Nothing is therefore measured over the tile, and one large pass and
many small tiles with enough halo agree to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import ModelError

LEAKY_SLOPE = 0.01
CONVOLUTIONS_PER_STAGE = 2

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Architecture:
    """Shape of the network.

    Attributes:
        channels: feature channels per level, finest first.
        strides: ``(z, y, x)`` of each step to the next level; one fewer than ``channels``.
        kernels: ``(z, y, x)`` kernel sizes per level, odd.
        outputs: logit channels of the head: for each task its background, then its labels; of regions the labels only.
        stems: channels of the images that each stem takes. A stem is the first convolution of the finest stage and
            the one beside it; everything after it serves all images alike.
    """

    channels: tuple[int, ...]
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    outputs: int
    # A later field, see `model.structure.LATER`: of networks for images of one channel nothing is written.
    stems: tuple[int, ...] = field(default=(1,), metadata={"later": True})

    def __post_init__(self) -> None:
        levels = len(self.channels)
        counts = (*self.channels, self.outputs, *self.stems)
        positive = bool(self.stems) and all(v > 0 for v in (*counts, *sum(self.strides, ()), *sum(self.kernels, ())))
        odd = all(k % 2 == 1 for kernel in self.kernels for k in kernel)
        if levels < 2 or len(self.strides) != levels - 1 or len(self.kernels) != levels or not (positive and odd):
            raise ModelError("the architecture is inconsistent", remedy="Train the model again with this version")

    @property
    def is_planar(self) -> bool:
        """Whether slices never see each other: a 2-D network."""
        return all(n == 1 for n in (*(kernel[0] for kernel in self.kernels), *(step[0] for step in self.strides)))

    @property
    def level_strides(self) -> tuple[Triple, ...]:
        """Voxels of the input grid per voxel of each level, ``(z, y, x)``."""
        strides: list[Triple] = [(1, 1, 1)]
        for step in self.strides:
            z, y, x = (a * b for a, b in zip(strides[-1], step, strict=True))
            strides.append((z, y, x))
        return tuple(strides)

    @property
    def total_stride(self) -> Triple:
        """Input sizes and tile corners must be multiples of this, ``(z, y, x)``."""
        return self.level_strides[-1]

    @property
    def halo(self) -> Triple:
        """Voxels ``(z, y, x)`` around a tile that its result can depend on, rounded up to `total_stride`."""
        z, y, x = (self._halo_along(axis, None) for axis in range(3))
        return z, y, x

    def encoder_halo(self, stages: int) -> Triple:
        """As `halo`, where only the first encoder stages are computed."""
        z, y, x = (self._halo_along(axis, stages) for axis in range(3))
        return z, y, x

    def _halo_along(self, axis: int, encoder_stages: int | None) -> int:
        stride = self.total_stride[axis]
        reach = stride - 1
        for level, (kernel, jump) in enumerate(zip(self.kernels, self.level_strides, strict=True)):
            is_passed_once = encoder_stages is not None or level == len(self.channels) - 1
            if encoder_stages is None or level < encoder_stages:
                reach += (1 if is_passed_once else 2) * CONVOLUTIONS_PER_STAGE * (kernel[axis] // 2) * jump[axis]
        return ceil(reach / stride) * stride

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the feature maps in the order of computation."""
        levels = len(self.channels)
        return tuple(f"encoder{i}" for i in range(levels)) + tuple(f"decoder{i}" for i in reversed(range(levels - 1)))

    def layer_stride(self, name: str) -> Triple:
        """Stride ``(z, y, x)`` of a feature map against the input grid."""
        return self.level_strides[int(name[-1])]


class Stage(nn.Module):
    """Two convolutions with a residual connection; the sum is rescaled to keep the variance."""

    def __init__(self, channels_in: int, channels_out: int, kernel: Triple) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.first = nn.Conv3d(channels_in, channels_out, kernel, padding=padding)  # type: ignore[arg-type]
        self.second = nn.Conv3d(channels_out, channels_out, kernel, padding=padding)  # type: ignore[arg-type]
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1)
        self.activation = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)

    def forward(self, x: Tensor, stem: Stem | None = None) -> Tensor:
        """``(B, C_in, Z, Y, X)`` to ``(B, C_out, Z, Y, X)``.

        Args:
            x: the input.
            stem: in place of the stage's own convolutions of the input.
        """
        first, shortcut = (self.first, self.shortcut) if stem is None else (stem.first, stem.shortcut)
        y = self.second(self.activation(first(x)))
        result: Tensor = self.activation((y + shortcut(x)) * 2**-0.5)
        return result


class Stem(nn.Module):
    """The convolutions that look at the image itself, for images of one more list of channels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: Triple) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.first = nn.Conv3d(channels_in, channels_out, kernel, padding=padding)  # type: ignore[arg-type]
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1)


class SegmentationNetwork(nn.Module):
    """Encoder, decoder with skip connections, and a 1x1x1 head over all tasks' channels."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        channels, kernels, strides = architecture.channels, architecture.kernels, architecture.strides
        levels = len(channels)
        self.encoder = nn.ModuleList(
            Stage(architecture.stems[0] if i == 0 else channels[i], channels[i], kernels[i]) for i in range(levels)
        )
        self.down = nn.ModuleList(
            nn.Conv3d(channels[i], channels[i + 1], strides[i], stride=strides[i]) for i in range(levels - 1)
        )
        self.up = nn.ModuleList(nn.Conv3d(channels[i + 1], channels[i], 1) for i in range(levels - 1))
        self.decoder = nn.ModuleList(Stage(2 * channels[i], channels[i], kernels[i]) for i in range(levels - 1))
        self.head = nn.Conv3d(channels[0], architecture.outputs, 1)
        # The first stem is the finest stage's own: networks with no other one are what they always were.
        self.stems = nn.ModuleList(Stem(count, channels[0], kernels[0]) for count in architecture.stems[1:])

    def encoder_features(self, x: Tensor, stages: int, stem: int = 0) -> dict[str, Tensor]:
        """Feature maps of the first encoder stages by name for input ``(B, C, Z, Y, X)`` of C channels."""
        maps: dict[str, Tensor] = {}
        for level in range(stages):
            if level == 0:
                x = self.encoder[0](x, self.stems[stem - 1] if stem else None)
            else:
                x = self.encoder[level](self.down[level - 1](x))
            maps[f"encoder{level}"] = x
        return maps

    def features(self, x: Tensor, stem: int = 0) -> dict[str, Tensor]:
        """All stages' feature maps by name for input ``(B, C, Z, Y, X)``; the last one is ``decoder0``.

        Z, Y and X must be multiples of `Architecture.total_stride`.
        """
        maps = self.encoder_features(x, len(self.encoder), stem)
        x = maps[f"encoder{len(self.encoder) - 1}"]
        for level in reversed(range(len(self.decoder))):
            coarse = self.up[level](x)
            scale = tuple(float(s) for s in self.architecture.strides[level])
            fine = nn.functional.interpolate(coarse, scale_factor=scale, mode="nearest")
            x = self.decoder[level](torch.cat((fine, maps[f"encoder{level}"]), dim=1))
            maps[f"decoder{level}"] = x
        return maps

    def forward(self, x: Tensor, stem: int = 0) -> Tensor:
        """Logits ``(B, outputs, Z, Y, X)`` of all tasks for input ``(B, C, Z, Y, X)``."""
        result: Tensor = self.head(self.features(x, stem)["decoder0"])
        return result
