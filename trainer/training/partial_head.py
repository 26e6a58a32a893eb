"""Logits of some of the head's channels: those of other tasks need not be computed."""

from __future__ import annotations

from torch import Tensor, nn


def some_channels(head: nn.Module, maps: Tensor, channels: slice) -> Tensor:
    """Logits ``(B, channels, Z, Y, X)`` for maps ``(B, C, Z, Y, X)``.

    Args:
        head: 1x1x1 convolution to all tasks' channels.
        maps: its input.
        channels: which are wanted.
    """
    assert isinstance(head, nn.Conv3d)
    assert head.bias is not None
    return nn.functional.conv3d(maps, head.weight[channels], head.bias[channels])
