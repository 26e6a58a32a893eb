"""A loss term that asks probabilities to be right: marginal L1 average calibration error, mL1-ACE.

Barfoot et al., "Average calibration error: a differentiable loss for improved reliability in image segmentation"
(MICCAI 2024) with hard bins; "Average calibration losses for reliable uncertainty in medical image segmentation"
(arXiv 2506.03942) adds soft ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Binning = Literal["soft", "hard"]


def marginal_ace_loss(logits: Tensor, labels: Tensor, bins: int = 20, binning: Binning = "soft") -> Tensor:
    """Mean over images, labels and filled bins of the gap between mean probability and observed share of the label.

    Every label is a binary problem of its own (marginal), the background is left out: its probability is what the
    labels leave over. A bin counts from the weight of one voxel on, so that a single voxel at the rim of a soft bin
    cannot dominate the gradient.

    Args:
        logits: ``(B, 1 + L, Z, Y, X)``, background first.
        labels: int64 ``(B, Z, Y, X)`` in 0..L.
        bins: equal bins of the probability.
        binning: ``hard``: each voxel lies in one bin, gradients flow through its probability alone. ``soft``: it is
            shared linearly by the two bins whose centres are nearest, and gradients flow through the shares as well.

    Returns:
        a scalar in [0, 1].
    """
    batch, channels = logits.shape[:2]
    shares = torch.softmax(logits, dim=1)[:, 1:].reshape(batch * (channels - 1), -1)
    wanted = torch.arange(1, channels, device=labels.device).view(1, -1, 1)
    truth = (labels.reshape(batch, 1, -1) == wanted).to(shares.dtype).reshape(shares.shape)
    return _mean_gap(shares, truth, bins, binning)


def region_ace_loss(logits: Tensor, masks: Tensor, bins: int = 20, binning: Binning = "soft") -> Tensor:
    """The same for regions that may overlap, ``logits`` and bool ``masks`` ``(B, R, Z, Y, X)``."""
    shares = torch.sigmoid(logits).flatten(0, 1).flatten(1)
    return _mean_gap(shares, masks.to(shares.dtype).reshape(shares.shape), bins, binning)


def _mean_gap(shares: Tensor, truth: Tensor, bins: int, binning: Binning) -> Tensor:
    """Of probabilities and what is true, both ``(problems, voxels)``."""
    if binning == "hard":
        lower = (shares.detach() * bins).long().clamp(0, bins - 1)
        parts = [(lower, torch.ones_like(shares))]
    else:
        # Position in units of bins, from the centre of the first to the centre of the last.
        position = (shares * bins - 0.5).clamp(0, bins - 1)
        lower = position.detach().long().clamp(0, max(bins - 2, 0))
        upper_share = position - lower
        parts = [(lower, 1 - upper_share), ((lower + 1).clamp(max=bins - 1), upper_share)]
    empty = shares.new_zeros(shares.shape[0], bins)
    counts, gaps = empty, empty
    for index, weight in parts:
        counts = counts.scatter_add(1, index, weight)
        gaps = gaps.scatter_add(1, index, weight * (shares - truth))
    filled = counts.detach() >= 1
    ratio = torch.where(filled, gaps.abs() / counts.clamp(min=1), torch.zeros_like(gaps))
    by_label = ratio.sum(dim=1) / filled.sum(dim=1).clamp(min=1)
    return by_label.mean()
