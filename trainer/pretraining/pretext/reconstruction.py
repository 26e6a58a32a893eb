"""What denoising and inpainting have in common: an image back from the finest decoder map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.pretraining.pretext.pooled_head import initialize_head

SMALLEST_VARIANCE = 1e-3


def reconstruction_head(architecture: Architecture, generator: torch.Generator) -> nn.Module:
    """One 1x1x1 convolution from the finest decoder map to an image."""
    head = nn.Conv3d(architecture.channels[0], 1, 1)
    initialize_head(head, generator, head)
    return head


def unexplained_variance(predicted: Tensor, truth: Tensor, where: Tensor | None = None) -> Tensor:
    """Mean squared error over the variance of the truth: 1 for predicting the mean, whatever the contrast.

    Args:
        predicted: ``(N, 1, Z, Y, X)``.
        truth: the same shape.
        where: bool of the same shape; voxels that count; None: all.
    """
    error = (predicted.float() - truth) ** 2
    variance = truth.var(correction=0).clamp(min=SMALLEST_VARIANCE)
    if where is None:
        return error.mean() / variance
    return (error * where).sum() / where.sum().clamp(min=1) / variance
