"""What a run of an imported model takes: sizes of the image, of a patch and of the sums of scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.imported.stored_axes import reader_axes, reader_spacing_mm
from MultiTaskSegLib.runtime.network.convolution import Route, scratch_bytes
from MultiTaskSegLib.runtime.network.tensor_ledger import TensorLedger
from MultiTaskSegLib.runtime.nnunet.lean_layer import LAYOUT
from MultiTaskSegLib.runtime.nnunet.preparation_plan import SPLINE
from MultiTaskSegLib.runtime.nnunet.resampling_grid import resampled_shape
from MultiTaskSegLib.runtime.nnunet.unet_plan import UnetPlan
from MultiTaskSegLib.runtime.nnunet.unet_weights import empty_network

FLOAT, HALF, DOUBLE, BYTE = 4, 2, 8, 1
# Bytes per voxel: label, confidence, uncertainty; and the same once more on the whole image.
MAP_BYTES = BYTE + FLOAT + FLOAT
# Masks of what is not 0: of a channel, of all, and those of filling its holes.
MASKS = 5
# Slices of scores that are alive at a time: two neighbours, the one between, over the temperature, shares, entropy.
SCORE_SLICES = 6


@dataclass(frozen=True)
class ImageSizes:
    """How large an image is at each step, ``(Z, Y, X)`` in the network's order of the axes.

    Attributes:
        whole: of the image.
        cropped: without the zeros around it.
        grid: on the network's grid.
    """

    whole: tuple[int, ...]
    cropped: tuple[int, ...]
    grid: tuple[int, ...]


def image_sizes(volume: Volume, manifest: ImportedManifest) -> ImageSizes:
    """The sizes that the preparation will find, without preparing anything."""
    plan = manifest.plan.preparation
    axes = reader_axes(volume, plan.reader)
    stored_mm = reader_spacing_mm(volume, axes, plan.reader)
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(np.logical_or.reduce([channel.any(axis=others) for channel in volume.channels]))
        sides.append(int(found[-1] - found[0]) + 1 if found.size else 1)
    order = [axes.axes[axis] for axis in plan.transpose]
    cropped = tuple(sides[axis] for axis in order)
    spacing_mm = tuple(stored_mm[axis] for axis in plan.transpose)
    wanted_mm = plan.spacing_mm if len(plan.spacing_mm) == 3 else (spacing_mm[0], *plan.spacing_mm)
    grid = tuple(max(1, size) for size in resampled_shape(cropped, spacing_mm, wanted_mm))
    return ImageSizes(tuple(volume.shape[axis] for axis in order), cropped, grid)


@dataclass(frozen=True)
class PatchMemory:
    """Beside the loaded model.

    Attributes:
        manifest: of the model.
        sizes: of the image.
        channels: of the image.
    """

    manifest: ImportedManifest
    sizes: ImageSizes
    channels: int

    @property
    def image_bytes(self) -> int:
        """The image."""
        return FLOAT * self.channels * prod(self.sizes.whole)

    @property
    def grid_bytes(self) -> int:
        """The prepared image; a copy with zeros around it where it is smaller than a patch."""
        grid = prod(self.sizes.grid)
        padded = prod(self._padded)
        return FLOAT * self.channels * (grid + (padded if padded > grid else 0))

    @property
    def preparing_bytes(self) -> int:
        """While it is prepared, channel by channel, with the result."""
        cropped, grid = prod(self.sizes.cropped), prod(self.sizes.grid)
        done = FLOAT * self.channels * grid * (2 if self.channels > 1 else 1)
        masks = MASKS * BYTE * prod(self.sizes.whole)
        normalising = 3 * FLOAT * cropped
        resampling = 0
        if self.sizes.grid != self.sizes.cropped and self.manifest.plan.preparation.images.kind == SPLINE:
            # In double precision: the channel, its coefficients, the result and its copy within the range.
            resampling = (FLOAT + 2 * DOUBLE) * cropped + (2 * DOUBLE + FLOAT) * grid
        return max(masks, BYTE * prod(self.sizes.whole) + done + max(normalising, resampling))

    @property
    def running_bytes(self) -> int:
        """Maps while they come."""
        return self._map_bytes * prod(self.sizes.cropped)

    @property
    def finishing_bytes(self) -> int:
        """Maps when they are brought onto the image's own grid, beside those."""
        return 2 * self._map_bytes * prod(self.sizes.whole)

    @property
    def finished_bytes(self) -> int:
        """Maps on the image's own grid."""
        return self._map_bytes * prod(self.sizes.whole)

    @property
    def slab_bytes(self) -> int:
        """Sums of scores; their mean and what is shifted; and slices that are interpolated."""
        structures, folds = self.manifest.plan.structures, len(self.manifest.origin.folds)
        plane = self._padded[1:]
        patch = self.manifest.plan.preparation.patch
        thick = patch[0] if len(patch) == 3 else 1
        slab = HALF * structures.outputs * thick * prod(plane)
        slices = SCORE_SLICES * FLOAT * structures.outputs * max(prod(plane), prod(self.sizes.cropped[1:]))
        return folds * slab + (1 + (folds > 1)) * slab + slices + 2 * HALF * thick * prod(plane)

    @property
    def patch_bytes(self) -> int:
        """Where the network runs, while a patch passes through."""
        plan = self.manifest.plan
        return patch_peak_bytes(plan.network, self.channels, plan.structures.outputs, plan.preparation.patch)

    @property
    def _padded(self) -> tuple[int, ...]:
        patch = self.manifest.plan.preparation.patch
        wanted = (*(1,) * (3 - len(patch)), *patch)
        return tuple(max(size, least) for size, least in zip(self.sizes.grid, wanted, strict=True))

    @property
    def _map_bytes(self) -> int:
        structures = self.manifest.plan.structures
        return MAP_BYTES + (len(structures.entries) if structures.are_regions else 0)


def _scratch(function: Callable[..., Any], arguments: tuple[Any, ...], result: Tensor) -> int:
    """What a convolution takes beside its maps."""
    is_convolution = getattr(function, "__name__", "") in ("conv2d", "conv3d")
    return scratch_bytes(Route.DIRECT, arguments[0], arguments[1], result) if is_convolution else 0


@lru_cache(maxsize=32)
def patch_peak_bytes(plan: UnetPlan, channels: int, outputs: int, patch: tuple[int, ...]) -> int:
    """What tensors take at most while a patch passes through a network, its scores and their copy included.

    The network itself tells it: it runs where tensors have a size and no memory.
    """
    network = empty_network(plan, channels, outputs).eval().requires_grad_(False)
    network.to(memory_format=LAYOUT[plan.dimension])  # type: ignore[call-overload]
    with torch.inference_mode(), TensorLedger(_scratch) as ledger:
        image = torch.empty((1, channels, *patch), device="meta")
        network(image)
    scores = FLOAT * outputs * prod(patch)
    return max(int(ledger.peak_bytes), 2 * scores)
