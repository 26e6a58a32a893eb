"""Loss for partially labelled data: each task is a softmax of its own over background and its labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainer.planning import TaskPlan


def segmentation_loss(
    logits: Tensor, labels: Tensor, *, cross_entropy_weight: float = 1.0, dice_weight: float = 1.0
) -> Tensor:
    """Cross-entropy plus soft Dice loss (Milletari et al. 2016) averaged over the labels present in the batch.

    A label without a voxel in the batch is left out of the Dice term, which would otherwise be 0 or 1 by accident;
    the cross-entropy still penalises it.

    Args:
        logits: ``(B, 1 + L, Z, Y, X)``, background first.
        labels: int64 ``(B, Z, Y, X)`` in 0..L.
    """
    loss = cross_entropy_weight * functional.cross_entropy(logits, labels)
    if dice_weight:
        loss = loss + dice_weight * soft_dice_loss(logits, labels)
    return loss


def soft_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - mean soft Dice over the present labels, each over the whole batch; 0 when only background is there.

    Sums by label are scattered instead of multiplied with one-hot maps, which for dozens of labels would cost more
    than the network.
    """
    probabilities = torch.softmax(logits, dim=1)
    channels = logits.shape[1]
    flat = labels.reshape(-1)
    at_truth = probabilities.gather(1, labels[:, None]).reshape(-1)
    overlap = torch.zeros(channels, dtype=logits.dtype, device=logits.device).index_add(0, flat, at_truth)[1:]
    truth = torch.bincount(flat, minlength=channels).to(logits.dtype)[1:]
    sizes = probabilities.sum(dim=(0, 2, 3, 4))[1:] + truth
    present = truth > 0
    if not bool(present.any()):
        return logits.sum() * 0.0
    return 1.0 - (2 * overlap[present] / sizes[present]).mean()


def absence_loss(absent_logits: Sequence[Tensor], like: Tensor) -> Tensor:
    """Cross-entropy to background for tasks whose structures cannot be in these images, averaged over tasks.

    Tasks that may share structures (same modality family and body region) are not passed in: what their labels
    show here is unknown, so nothing is asked of them.

    Args:
        absent_logits: ``(B, 1 + L, Z, Y, X)`` of each absent task, background first.
        like: any tensor of the batch; without absent tasks the result is its zero.
    """
    terms = [(torch.logsumexp(logits, dim=1) - logits[:, 0]).mean() for logits in absent_logits]
    return torch.stack(terms).mean() if terms else like.sum() * 0.0


def split_by_task(logits: Tensor, tasks: Sequence[TaskPlan]) -> list[Tensor]:
    """Each task's own channels of ``(B, outputs, Z, Y, X)``; one split, because slicing costs a zero fill each."""
    starts = sorted({task.start for task in tasks})
    sizes = [b - a for a, b in zip(starts, [*starts[1:], logits.shape[1]], strict=True)]
    parts = dict(zip(starts, logits.split(sizes, dim=1), strict=True))
    return [parts[task.start] for task in tasks]
