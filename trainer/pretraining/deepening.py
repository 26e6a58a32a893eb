"""A trained network gets further, coarser levels and computes nearly the same as before.

After Chen, Goodfellow & Shlens, "Net2Net: accelerating learning via knowledge transfer" (ICLR 2016): what has been
learnt is kept, and training goes on with a wider receptive field.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import Architecture


def extends(wanted: Architecture, found: Architecture) -> bool:
    """Whether a network is another one with coarser levels added."""
    levels = len(found.channels)
    return (
        len(wanted.channels) > levels
        and wanted.channels[:levels] == found.channels
        and wanted.strides[: levels - 1] == found.strides
        and wanted.kernels[:levels] == found.kernels
    )


def deepened(weights: Mapping[str, Tensor], found: Architecture, wanted: Architecture) -> dict[str, Tensor]:
    """Weights for the deeper network: the old ones, and new decoder stages that hand their skip connection through.

    A new decoder stage starts with an empty second convolution and a shortcut that copies the skip connection, so it
    returns what it gets but for the second pass through the leaky rectifier. What lies below it starts at random.

    Args:
        weights: plain, by the names of `SegmentationNetwork`.
        found: architecture of the weights.
        wanted: see `extends`.
    """
    result = dict(weights)
    for level in range(len(found.channels) - 1, len(wanted.channels) - 1):
        channels, kernel = wanted.channels[level], wanted.kernels[level]
        stage = f"decoder.{level}."
        result[stage + "second.weight"] = torch.zeros((channels, channels, *kernel))
        result[stage + "second.bias"] = torch.zeros(channels)
        # The stage's input is the coarser level's map, then the skip connection; its sum is scaled by sqrt(1/2).
        copy = torch.cat((torch.zeros((channels, channels)), 2**0.5 * torch.eye(channels)), dim=1)
        result[stage + "shortcut.weight"] = copy[:, :, None, None, None]
        result[stage + "shortcut.bias"] = torch.zeros(channels)
    return result
