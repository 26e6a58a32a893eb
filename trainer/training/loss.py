"""Loss for partially labelled data: each task is a softmax of its own over background and its labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.config import Triple
from trainer.data.planning import TaskPlan

MANY_CLASSES = 16


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
    log_shares, class_axis = _log_shares(logits)
    at_truth = _at_truth(log_shares, class_axis, labels)
    loss = -cross_entropy_weight * at_truth.mean()
    if dice_weight:
        loss = loss + dice_weight * _soft_dice(log_shares, class_axis, at_truth, labels)
    return loss


def soft_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - mean soft Dice over the present labels, each over the whole batch; 0 when only background is there."""
    log_shares, class_axis = _log_shares(logits)
    return _soft_dice(log_shares, class_axis, _at_truth(log_shares, class_axis, labels), labels)


def _log_shares(logits: Tensor) -> tuple[Tensor, int]:
    """Logarithms of the probabilities, classes and voxels as a matrix, and which axis the classes are.

    Few classes are fastest voxel by voxel within each class, many class by class within each voxel, which is also how
    channels-last maps lie in memory.
    """
    classes = logits.shape[1]
    if classes >= MANY_CLASSES:
        return torch.log_softmax(logits.movedim(1, -1).reshape(-1, classes), dim=1), 1
    return torch.log_softmax(logits.movedim(1, 0).reshape(classes, -1), dim=0), 0


def _at_truth(log_shares: Tensor, class_axis: int, labels: Tensor) -> Tensor:
    """Logarithm of the probability of each voxel's label."""
    return log_shares.gather(class_axis, labels.reshape(-1).unsqueeze(class_axis)).squeeze(class_axis)


def _soft_dice(log_shares: Tensor, class_axis: int, at_truth: Tensor, labels: Tensor) -> Tensor:
    """Sums by label are scattered instead of multiplied with one-hot maps.

    For dozens of labels these would cost more than the network.
    """
    classes, flat = log_shares.shape[class_axis], labels.reshape(-1)
    overlap = at_truth.new_zeros(classes).index_add(0, flat, at_truth.exp())[1:]
    truth = torch.bincount(flat, minlength=classes).to(log_shares.dtype)[1:]
    sizes = log_shares.exp().sum(dim=1 - class_axis)[1:] + truth
    present = truth > 0
    if not bool(present.any()):
        return log_shares.sum() * 0.0
    return 1.0 - (2 * overlap[present] / sizes[present]).mean()


def region_loss(
    logits: Tensor, masks: Tensor, *, cross_entropy_weight: float = 1.0, dice_weight: float = 1.0
) -> Tensor:
    """Of regions that may overlap: binary cross-entropy plus soft Dice loss, as nnU-Net does (``DC_and_BCE_loss``).

    As in `segmentation_loss`, a region without a voxel in the batch is left out of the Dice term.

    Args:
        logits: ``(B, R, Z, Y, X)``.
        masks: bool ``(B, R, Z, Y, X)``.
    """
    truth = masks.to(logits.dtype)
    loss = cross_entropy_weight * functional.binary_cross_entropy_with_logits(logits, truth)
    if not dice_weight:
        return loss
    axes = (0, 2, 3, 4)
    shares = torch.sigmoid(logits)
    sizes, voxels = shares.sum(dim=axes) + truth.sum(dim=axes), truth.sum(dim=axes)
    present = voxels > 0
    if not bool(present.any()):
        return loss
    overlap = (shares * truth).sum(dim=axes)
    return loss + dice_weight * (1.0 - (2 * overlap[present] / sizes[present]).mean())


def masks_of(labels: Tensor, values: Sequence[Sequence[int]]) -> Tensor:
    """Bool ``(B, R, Z, Y, X)``: where a label map shows one of a region's values.

    Args:
        labels: int64 ``(B, Z, Y, X)``.
        values: of each region.
    """
    table = torch.zeros((1 + max(max(own) for own in values), len(values)), dtype=torch.bool, device=labels.device)
    for number, own in enumerate(values):
        table[list(own), number] = True
    return table[labels].movedim(-1, 1)


def coarse_labels(labels: Tensor, stride: Triple, classes: int) -> Tensor:
    """What a coarser map is to say: of each cell the label that most of its voxels have.

    A corner of the cell would lie half a cell beside its middle. Of labels with as many voxels the larger one wins,
    background last, as in `trainer.data.label_resampling.resample_labels`.

    Args:
        labels: int64 ``(B, Z, Y, X)`` in 0..classes - 1; the sides are multiples of the stride.
        stride: ``(z, y, x)``.
        classes: background included.
    """
    z, y, x = stride
    coarse = labels[:, ::z, ::y, ::x]
    number = torch.arange(coarse.numel(), device=labels.device).reshape(coarse.shape)
    cell = number.repeat_interleave(z, dim=1).repeat_interleave(y, dim=2).repeat_interleave(x, dim=3)
    counts = torch.bincount((cell * classes + labels).flatten(), minlength=coarse.numel() * classes)
    # Whole numbers, in which no two labels of a cell are equal.
    score = counts.reshape(-1, classes) * classes + torch.arange(classes, device=labels.device)
    return score.argmax(dim=1).reshape(coarse.shape)


def absence_loss(absent_logits: Sequence[Tensor], like: Tensor, regions: Sequence[Tensor] = ()) -> Tensor:
    """Cross-entropy to background for tasks whose structures cannot be in these images, averaged over tasks.

    Tasks that may share structures (same modality family and body region) are not passed in: what their labels
    show here is unknown, so nothing is asked of them.

    Args:
        absent_logits: ``(B, 1 + L, Z, Y, X)`` of each absent task, background first.
        like: any tensor of the batch; without absent tasks the result is its zero.
        regions: logits ``(B, R, Z, Y, X)`` of each absent task of regions, which have no background.
    """
    terms = [-torch.log_softmax(logits, dim=1)[:, 0].mean() for logits in absent_logits]
    terms += [functional.softplus(logits).mean() for logits in regions]
    return torch.stack(terms).mean() if terms else like.sum() * 0.0


def split_by_task(logits: Tensor, tasks: Sequence[TaskPlan]) -> list[Tensor]:
    """Each task's own channels of ``(B, outputs, Z, Y, X)``; one split, because slicing costs a zero fill each."""
    starts = sorted({task.start for task in tasks})
    sizes = [b - a for a, b in zip(starts, [*starts[1:], logits.shape[1]], strict=True)]
    parts = dict(zip(starts, logits.split(sizes, dim=1), strict=True))
    return [parts[task.start] for task in tasks]


def some_channels(head: nn.Module, maps: Tensor, channels: slice) -> Tensor:
    """Logits ``(B, channels, Z, Y, X)`` of some of a head's channels; the others are not computed.

    Args:
        head: 1x1x1 convolution to all tasks' channels.
        maps: its input ``(B, C, Z, Y, X)``.
        channels: which are wanted.
    """
    assert isinstance(head, nn.Conv3d)
    assert head.bias is not None
    return functional.conv3d(maps, head.weight[channels], head.bias[channels])
