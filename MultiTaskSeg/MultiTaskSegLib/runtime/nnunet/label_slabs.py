"""Labels on the grid of the cropped image from scores that come slab by slab; no volume of scores is ever held."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.nnunet.preparation_plan import TORCH, Resampling
from MultiTaskSegLib.runtime.nnunet.resampling_grid import nearest_slices
from MultiTaskSegLib.runtime.nnunet.structures import Structures


def labels_of(scores: Tensor, structures: Structures) -> NDArray[np.uint16]:
    """The label of every voxel.

    Args:
        scores: ``(outputs, ...)``.
        structures: what the outputs are.
    """
    if not structures.are_regions:
        # Of equal scores the first wins, which torch does not promise.
        first: NDArray[np.uint16] = scores.float().numpy().argmax(0).astype(np.uint16)
        return first
    labels = np.zeros(scores.shape[1:], np.uint16)
    for entry, score in zip(structures.entries, scores, strict=True):
        labels[(score > 0).numpy()] = entry.painted
    return labels


def score_slices(
    slabs: Iterable[tuple[int, Tensor]],
    network_shape: Sequence[int],
    shape: Sequence[int],
    rule: Resampling,
    axis: int | None,
) -> Iterator[Tensor]:
    """Scores of one slice of the image after another, interpolated from slabs on the network's grid.

    Args:
        slabs: first slice and float16 scores ``(outputs, slices, Y, X)``, from the first slice to the last.
        network_shape: ``(Z, Y, X)`` of the network's grid.
        shape: ``(Z, Y, X)`` wanted.
        rule: linear; other orders are refused when plans are read.
        axis: whose slices are interpolated one by one, see `slice_axis`.

    Yields:
        float32 ``(outputs, Y, X)``.
    """
    nearest = axis if rule.kind == TORCH or rule.order_across == 0 else None
    wanted = deque(_places(network_shape[0], shape[0], is_nearest=nearest == 0))
    rows, columns = (_weights(network_shape[n], shape[n], is_nearest=nearest == n) for n in (1, 2))
    held: dict[int, Tensor] = {}
    for first, slab in slabs:
        for offset in range(slab.shape[1]):
            held[first + offset] = _in_plane(slab[:, offset].float(), rows, columns)
            while wanted and wanted[0][1] in held:
                low, high, share = wanted.popleft()
                between = held[low] if share == 0 else torch.lerp(held[low], held[high], share)
                # As nnU-Net, whose splines give the precision that they were given: equal scores are told by it.
                yield between if rule.kind == TORCH else between.half().float()
            for done in [z for z in held if not wanted or z < wanted[0][0]]:
                del held[done]


def _places(count: int, wanted: int, *, is_nearest: bool) -> list[tuple[int, int, float]]:
    """For each wanted slice the two slices that it lies between, and the share of the second."""
    if is_nearest:
        return [(int(n), int(n), 0.0) for n in nearest_slices(count, wanted)]
    places = np.clip(count / wanted * (np.arange(wanted) + 0.5) - 0.5, 0, count - 1)
    low = np.floor(places).astype(int)
    shares = places - low
    return [(int(n), int(n) + (s > 0), float(s)) for n, s in zip(low, shares, strict=True)]


def _weights(count: int, wanted: int, *, is_nearest: bool) -> Tensor | None:
    """Matrix ``(wanted, count)`` of linear interpolation along an axis; None where nothing changes."""
    if count == wanted:
        return None
    matrix = torch.zeros((wanted, count))
    for row, (low, high, share) in enumerate(_places(count, wanted, is_nearest=is_nearest)):
        matrix[row, low] += 1 - share
        if share > 0:
            matrix[row, high] += share
    return matrix


def _in_plane(scores: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    scores = scores if rows is None else torch.matmul(rows, scores)
    return scores if columns is None else torch.matmul(scores, columns.T)
