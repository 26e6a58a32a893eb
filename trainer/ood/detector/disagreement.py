"""How much several predictions of one image disagree, and ways to get several predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork, Triple
from trainer.tiled.task_logits import HeadChannels, task_logits
from trainer.uncertainty.estimator import injected_dropout

MAX_CROP_VOXELS = 150_000
SPREAD, PAIRWISE_DISAGREEMENT, FOREGROUND_ENTROPY = 0, 1, 2
"""Places of the numbers of `disagreement_of`."""

SMALLEST_PROBABILITY = 1e-12


def disagreement_of(predictions: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Three numbers ``(3,)`` from several predictions of one image for one task.

    1. Standard deviation of the foreground probability over the predictions, mean over the voxels (Vasiliuk et al.
       2023).
    2. 1 - the Dice coefficient of the foregrounds of two predictions, mean over all pairs (Zenk et al. 2025). Two empty
       foregrounds agree.
    3. Entropy of the mean probabilities, in units of its maximum, mean over the voxels where their most likely label is
       not background; 0 if there are none.

    Args:
        predictions: logits ``(1 + labels, Z, Y, X)``, background first.

    Raises:
        UsageError: there are fewer than two predictions.
    """
    total: NDArray[np.float64] | None = None
    foregrounds, masks = [], []
    for logits in predictions:
        probabilities = np.asarray(softmax(np.asarray(logits, dtype=np.float64), axis=0))
        total = probabilities if total is None else total + probabilities
        foregrounds.append(1.0 - probabilities[0])
        masks.append(np.asarray(logits).argmax(axis=0) > 0)
    if total is None or len(masks) < 2:
        raise UsageError(f"{len(masks)} predictions cannot disagree", remedy="Make two or more")
    mean = total / len(masks)
    entropy = -(mean * np.log(np.maximum(mean, SMALLEST_PROBABILITY))).sum(axis=0) / np.log(len(mean))
    inside = mean.argmax(axis=0) > 0
    pairs = [1.0 - _dice(a, b) for a, b in combinations(masks, 2)]
    spread = float(np.std(foregrounds, axis=0).mean())
    return np.array([spread, float(np.mean(pairs)), float(entropy[inside].mean()) if inside.any() else 0.0])


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    both = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / both if both else 1.0


def central_crop(
    voxels: NDArray[np.float32], labels: NDArray[np.integer], limit: int, stride: Triple
) -> NDArray[np.float32]:
    """Part of an image around the predicted foreground, to bound the cost of many predictions.

    Sides are multiples of ``stride``, or the image's own where it is shorter; the longest side is cut, one stride after
    the other, until at most ``limit`` voxels are left or every side is one stride.

    Args:
        voxels: prepared, ``(Z, Y, X)``.
        labels: predicted, ``(Z, Y, X)``; the crop is centred on the mean position of those above 0, or on the image.
        limit: largest number of voxels.
        stride: `Architecture.total_stride`.
    """
    cells = [ceil(n / s) for n, s in zip(voxels.shape, stride, strict=True)]
    while prod(c * s for c, s in zip(cells, stride, strict=True)) > limit and max(cells) > 1:
        divisible = [axis for axis in range(3) if cells[axis] > 1]
        cells[max(divisible, key=lambda axis: cells[axis] * stride[axis])] -= 1
    found = np.argwhere(labels > 0)
    centre = found.mean(axis=0) if len(found) else (np.array(voxels.shape) - 1) / 2
    slices = []
    for n, c, s, middle in zip(voxels.shape, cells, stride, centre, strict=True):
        side = min(c * s, n)
        start = min(max(round(float(middle) - (side - 1) / 2), 0), n - side)
        slices.append(slice(start, start + side))
    return np.ascontiguousarray(voxels[tuple(slices)])


def dropout_predictions(
    network: SegmentationNetwork,
    task: HeadChannels,
    voxels: NDArray[np.float32],
    *,
    device: torch.device,
    generator: torch.Generator,
    passes: int = 10,
    rate: float = 0.1,
    precision: torch.dtype = torch.float32,
) -> Iterator[NDArray[np.float32]]:
    """Logits ``(1 + labels, Z, Y, X)`` of passes with dropout injected at test time (Ledda et al. 2023).

    Hooks are removed when the iterator ends or is closed.

    Args:
        network: trained without dropout.
        task: whose logits.
        voxels: prepared, ``(Z, Y, X)``.
        device: of the network.
        generator: of the masks, on the network's device.
        passes: how many.
        rate: share of activations set to 0, in [0, 1).
        precision: bfloat16 for autocast.
    """
    with injected_dropout(network, rate, generator):
        for _ in range(passes):
            yield task_logits(network, voxels, task, device=device, precision=precision)


def ensemble_predictions(
    members: Sequence[tuple[SegmentationNetwork, HeadChannels]],
    voxels: NDArray[np.float32],
    *,
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> Iterator[NDArray[np.float32]]:
    """Logits ``(1 + labels, Z, Y, X)`` of each network of a deep ensemble (Lakshminarayanan et al. 2017).

    Args:
        members: networks, each with its own record of the task, which must mean the same labels.
        voxels: prepared, ``(Z, Y, X)``, with the profile that all members share for the task.
        device: of the networks.
        precision: bfloat16 for autocast.
    """
    for network, task in members:
        yield task_logits(network, voxels, task, device=device, precision=precision)
