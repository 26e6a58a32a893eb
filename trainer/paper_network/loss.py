"""The published loss: soft Dice of the one foreground, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = 1e-5


def foreground_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice of the foreground over the whole batch (Sorensen: sums of probabilities and of the truth).

    A patch without foreground gives a loss near 1 with hardly any gradient, as the published one does.

    Args:
        logits: ``(B, 2, Z, Y, X)``, background first.
        labels: ``(B, Z, Y, X)``, 0 is background.
    """
    shares, truth = torch.softmax(logits, dim=1)[:, 1], (labels > 0).to(logits.dtype)
    return 1.0 - (2.0 * (shares * truth).sum() + SMOOTH) / (shares.sum() + truth.sum() + SMOOTH)
