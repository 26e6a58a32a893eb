"""Patches as published: a dataset by the root of its size, a place around the middle of the image, nothing changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from trainer.data.case_cache import PreparedCase
from trainer.paper_network.settings import PaperSettings

LEAST_MARGIN = 5
"""Voxels from the border that a patch keeps where the image is large enough."""


class Patches:
    """The endless sequence of single patches; patch i depends on nothing but the seed and i.

    Args:
        cases: to draw from, by dataset.
        architecture: of the network.
        settings: patch size and sampling.
        shares: probability of each dataset.
        seed: of every draw.
    """

    def __init__(
        self,
        cases: Sequence[Sequence[PreparedCase]],
        architecture: Architecture,
        settings: PaperSettings,
        shares: np.ndarray,
        seed: int,
    ) -> None:
        self._cases, self._architecture, self._settings = cases, architecture, settings
        self._shares, self._seed = shares, seed

    def patch(self, number: int) -> tuple[Tensor, Tensor]:
        """Patch ``number``: float32 ``(1, 1, Z, Y, X)`` and int64 labels ``(1, Z, Y, X)``."""
        rng = np.random.default_rng([self._seed, number])
        of_dataset = self._cases[int(rng.choice(len(self._cases), p=self._shares))]
        case = of_dataset[int(rng.integers(len(of_dataset)))]
        z, y, x = case.voxels.shape
        size = window_size((z, y, x), self._settings.patch, self._architecture.total_stride)
        start = draw_start(rng, (z, y, x), size)
        # A patch may be larger than the image, and a file is not read beyond its end.
        box = (slice(first, min(first + n, end)) for first, n, end in zip(start, size, (z, y, x), strict=True))
        place = (next(box), next(box), next(box))
        image = _filled(np.asarray(case.voxels[place], dtype=np.float32), size)
        labels = _filled(np.asarray(case.labels[place], dtype=np.int64), size)
        return torch.from_numpy(image)[None, None], torch.from_numpy(labels)[None]


def window_size(shape: Triple, patch: int, stride: Triple) -> Triple:
    """Size ``(z, y, x)`` of patches of an image of this shape: multiples of the stride, no larger than it must be.

    >>> window_size((1, 160, 60), 96, (1, 8, 8))
    (1, 96, 64)
    """
    z, y, x = (-(-min(patch, n) // step) * step for n, step in zip(shape, stride, strict=True))
    return z, y, x


def draw_start(rng: np.random.Generator, shape: Triple, size: Triple) -> Triple:
    """First voxel of a patch: around the middle of the image, `LEAST_MARGIN` from its border or farther.

    Where the image is hardly larger than the patch, the patch lies in its middle; where it is smaller, it begins where
    the image does, as at inference.
    """
    free = np.asarray(shape, dtype=np.float64) - np.asarray(size)
    reach = np.maximum(free / 2 - LEAST_MARGIN, 0)
    found = np.clip(np.round(free / 2 + rng.uniform(-1, 1, 3) * reach), 0, np.maximum(free, 0))
    z, y, x = (int(n) for n in found)
    return z, y, x


def _filled(array: NDArray[np.generic], size: Triple) -> NDArray[np.generic]:
    """With zeros at the end up to a size."""
    missing = [(0, length - n) for length, n in zip(size, array.shape, strict=True)]
    return np.ascontiguousarray(np.pad(array, missing))
