"""Scores of an image patch by patch, given away slab by slab as soon as no later patch changes them.

nnU-Net's sliding window: overlapping patches, weighted by a Gaussian, in half precision. Nothing is rounded otherwise
than there, but only the slices that patches are still being added to are held, never the scores of the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, product
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import NOT_FINITE, NOT_FINITE_REMEDY, ModelError

SIGMA = 1 / 8  # of the Gaussian, in patches
LARGEST_WEIGHT = 10.0

Corner = tuple[int, int, int]
Place = tuple[slice, ...]
Watch = Callable[[list[Tensor], Corner, Place], None]
"""Told the encoder's maps ``(1, C, [z,] y, x)`` of a patch, which are used up afterwards; where it begins in the image
with zeros around it; and where the image lies in that."""
Watched = Callable[[Corner, list[Tensor]], None]
STEP = 0.5  # in patches


def patch_starts(size: int, patch: int, step: float = STEP) -> list[int]:
    """Where patches begin along an axis: evenly spread, at most ``step`` patches apart.

    >>> patch_starts(110, 64)
    [0, 23, 46]
    """
    count = ceil((size - patch) / (patch * step)) + 1
    return [0] if count <= 1 else [int(np.round((size - patch) / (count - 1) * number)) for number in range(count)]


def axis_starts(sizes: Sequence[int], patch: Sequence[int]) -> list[list[int]]:
    """Where patches begin along z, y and x of an image ``sizes``, which is no smaller than a patch."""
    planes = [patch_starts(size, side) for size, side in zip(sizes[-len(patch) :], patch, strict=True)]
    return planes if len(patch) == 3 else [list(range(sizes[0])), *planes]


def patch_corners(sizes: Sequence[int], patch: Sequence[int]) -> Iterator[Corner]:
    """First voxel ``(z, y, x)`` of every patch."""
    z, y, x = axis_starts(sizes, patch)
    yield from product(z, y, x)


def patch_weights(patch: Sequence[int]) -> Tensor:
    """Weight of each voxel of a patch, float16: a Gaussian around its middle, nowhere 0."""
    weights = np.zeros(patch)
    weights[tuple(size // 2 for size in patch)] = 1
    weights = ndimage.gaussian_filter(weights, [size * SIGMA for size in patch], mode="constant")
    weights /= weights.max() / LARGEST_WEIGHT
    halves = torch.from_numpy(weights).half()
    halves[halves == 0] = halves[halves > 0].min()
    return halves


def padded(voxels: NDArray[np.float32], patch: Sequence[int]) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """An image with zeros around it where it is smaller than a patch, and where in it the image lies.

    Args:
        voxels: ``(C, Z, Y, X)``.
        patch: two or three numbers, of the last axes.
    """
    wanted = (*voxels.shape[: 4 - len(patch)], *patch)
    missing = [max(0, want - have) for want, have in zip(wanted, voxels.shape, strict=True)]
    before = [gap // 2 for gap in missing]
    place = tuple(slice(first, first + size) for first, size in zip(before[1:], voxels.shape[1:], strict=True))
    if not any(missing):
        return voxels, place
    return np.pad(voxels, [(first, gap - first) for first, gap in zip(before, missing, strict=True)]), place


class PatchStream:
    """Scores of one image by the networks of all folds.

    Args:
        networks: of the folds, on ``device``.
        outputs: scores per voxel.
        patch: voxels of a patch, two or three numbers.
        mirror_axes: spatial axes of the patch along which results are averaged over mirrored patches.
        device: where patches are computed.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        outputs: int,
        patch: Sequence[int],
        mirror_axes: Sequence[int] = (),
        device: torch.device | None = None,
    ) -> None:
        self._networks, self._outputs, self._patch = tuple(networks), outputs, tuple(patch)
        self._device = device or torch.device("cpu")
        self._mirrors = [
            tuple(axis + 2 for axis in axes)
            for count in range(1, len(mirror_axes) + 1)
            for axes in combinations(mirror_axes, count)
        ]
        self._weights = patch_weights(self._patch)
        self._thick = (*(1,) * (3 - len(self._patch)), *self._patch)

    def look(self, voxels: NDArray[np.float32], watch: Watch, told: Callable[[float], None] | None = None) -> None:
        """Only the encoder of the first network runs over all patches.

        Args:
            voxels, told: as of `slabs`.
            watch: called with the maps of every patch.
        """
        image, place = padded(voxels, self._patch)
        corners = list(patch_corners(image.shape[1:], self._patch))
        first: Any = self._networks[0]
        for number, corner in enumerate(corners):
            with torch.inference_mode():
                watch(first.encoder(self._at(torch.from_numpy(image), corner)), corner, place)
            (told or _nobody)((number + 1) / len(corners))

    def slabs(
        self,
        voxels: NDArray[np.float32],
        told: Callable[[float], None] | None = None,
        watch: Watch | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """First slice and scores of one slab after another, from the first slice to the last.

        Args:
            voxels: ``(C, Z, Y, X)`` on the network's grid.
            told: called with the share of patches that is done.
            watch: called with the encoder's maps of every patch, by the first network.

        Yields:
            Number of the first slice, and float16 ``(outputs, slices, Y, X)``.

        Raises:
            ModelError: scores are not finite, or too large for half precision (nnU-Net refuses the latter, too).
        """
        image, place = padded(voxels, self._patch)
        watched = None if watch is None else partial(_watched, watch, place)
        source = torch.from_numpy(np.ascontiguousarray(image))
        for first, scores in self._padded_slabs(source, told or _nobody, watched):
            low, high = max(first, place[0].start), min(first + scores.shape[1], place[0].stop)
            if low < high:
                yield low - place[0].start, scores[:, low - first : high - first, place[1], place[2]]

    def _padded_slabs(
        self, image: Tensor, told: Callable[[float], None], watched: Watched | None
    ) -> Iterator[tuple[int, Tensor]]:
        depth, plane = image.shape[1], image.shape[2:]
        thick = self._thick[0]
        starts, rows, columns = axis_starts((depth, *plane), self._patch)
        corners = list(product(rows, columns))
        shape = (self._outputs, thick, *plane)
        sums = [torch.zeros(shape, dtype=torch.half) for _ in self._networks]
        weights = torch.zeros(shape[1:], dtype=torch.half)
        for number, start in enumerate(starts):
            for part, corner in enumerate(corners):
                self._add(image, (start, *corner), sums, weights, watched)
                told((number * len(corners) + part + 1) / (len(starts) * len(corners)))
            done = (starts[number + 1] if number + 1 < len(starts) else depth) - start
            yield start, self._mean([total[:, :done] for total in sums], weights[:done])
            for buffer in (*sums, weights):
                _shift(buffer, done)

    def _at(self, image: Tensor, corner: Corner) -> Tensor:
        """The patch ``(1, C, [z,] y, x)`` that begins at a corner."""
        z, y, x = (slice(first, first + size) for first, size in zip(corner, self._thick, strict=True))
        patch = image[:, z, y, x]
        return (patch[:, 0] if len(self._patch) == 2 else patch)[None].contiguous().to(self._device)

    def _add(
        self, image: Tensor, corner: Corner, sums: Sequence[Tensor], weights: Tensor, watched: Watched | None
    ) -> None:
        _, rows, columns = (slice(first, first + size) for first, size in zip(corner, self._thick, strict=True))
        patch = self._at(image, corner)
        for network, total in zip(self._networks, sums, strict=True):
            seen = None if watched is None or network is not self._networks[0] else partial(watched, corner)
            scores = self._mirrored(network, patch, seen).to(total.device)
            scores *= self._weights
            total[:, :, rows, columns] += scores if len(self._patch) == 3 else scores[:, None]
        weights[:, rows, columns] += self._weights

    def _mirrored(self, network: Any, patch: Tensor, seen: Callable[[list[Tensor]], None] | None) -> Tensor:
        """Scores of a patch, the mean over its mirrored copies."""
        with torch.inference_mode():
            scores: Tensor
            if seen is None:
                scores = network(patch)
            else:
                maps = network.encoder(patch)
                seen(maps)
                scores = network.decoder(maps)
            for axes in self._mirrors:
                scores += torch.flip(network(torch.flip(patch, axes)), axes)
            if self._mirrors:
                scores /= len(self._mirrors) + 1
        # In the order of the sums; networks give another one.
        return scores[0].clone(memory_format=torch.contiguous_format)

    def _mean(self, sums: Sequence[Tensor], weights: Tensor) -> Tensor:
        means = [torch.div(total, weights) for total in sums]
        whole = means[0]
        for other in means[1:]:
            whole += other
        whole = whole if len(means) == 1 else whole.div_(len(means))
        # Half precision ends at 65504, and sums of weighted scores come before their mean.
        if not bool(torch.isfinite(whole).all()):
            raise ModelError(NOT_FINITE, remedy=NOT_FINITE_REMEDY)
        return whole


def _watched(watch: Watch, place: Place, corner: Corner, maps: list[Tensor]) -> None:
    watch(maps, corner, place)


def _nobody(_: float) -> None:
    """Nobody wants to know how far it is."""


def _shift(buffer: Tensor, done: int) -> None:
    """Make room for as many slices as were given away; those behind move to the front."""
    kept = buffer.shape[-3] - done
    if kept > 0:
        buffer[..., :kept, :, :] = buffer[..., done:, :, :].clone()
    buffer[..., max(kept, 0) :, :, :] = 0
