"""Singular-value spectra of feature maps, accumulated over tiles and slabs.

Karimi & Gholipour, "Improving calibration and out-of-distribution detection in deep models for medical image
segmentation" (IEEE TAI 2023), section on OOD detection: the feature map of an image, written as a matrix of voxels x
channels, has singular values that serve as the image's signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod, sqrt
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.errors import NOT_FINITE, NOT_FINITE_REMEDY, ModelError
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.tiling import Tile
from MultiTaskSegLib.runtime.ood.row_lattice import RowLattice, lattice_for

BLOCK_ROWS = 65_536
# Eigenvalues of F^T F in float64 are good to about 1e-16 of the largest, so singular values to 1e-8 of the largest.
# Below this floor only the QR route is trustworthy.
GRAM_FLOOR = 1e-6
# Products may be summed in float32 while the smallest singular value is at least this share of the largest, over
# sqrt(channels), among which the largest is spread: singular values are then wrong by about 1e-3 at most (random
# matrices), by 1e-5 on feature maps (measured).
SINGLE_PRECISION_RATIO = 1e-2
SINGLE_BLOCK_ROWS = 1_024
# Products of fewer rows, or of fewer values, are mostly overhead.
ROWS_AT_ONCE = 16_384
VALUES_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class LayerSpectrum:
    """What is kept of one feature map of one image.

    Attributes:
        singular_values: float64 ``(C,)``, descending; of large maps estimated from a `RowLattice`.
        voxels: number of rows N of the voxels x channels matrix.
        channel_means: float64 ``(C,)``.
    """

    singular_values: NDArray[np.float64]
    voxels: int
    channel_means: NDArray[np.float64]


class Factor(Protocol):
    """A summary of the rows seen so far from which their singular values follow."""

    def add(self, rows: Tensor) -> None:
        """Take rows ``(N, C)``.

        Raises:
            ModelError: they are not finite.
        """

    def singular_values(self) -> NDArray[np.float64]:
        """Descending ``(C,)``."""


class GramFactor:
    """Sum of F^T F: cheapest, and simply additive over tiles.

    Rows are multiplied in float32 where that is accurate enough for the sum so far, else in float64; products are
    added up in float64.
    """

    def __init__(self, channels: int) -> None:
        self._gram = torch.zeros((channels, channels), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take rows ``(N, C)``."""
        if rows.dtype == torch.float32:
            product = _single_precision_product(rows)
            if self._is_accurate(product):
                self._gram += product
                return
        for block in rows.split(BLOCK_ROWS):
            exact = block.to(torch.float64)
            self._gram += (exact.T @ exact).cpu()
        _require_finite(self._gram)

    def _is_accurate(self, product: Tensor) -> bool:
        """Whether the rounding errors of a product are small beside the smallest eigenvalue of the sum with it."""
        if not bool(torch.isfinite(product).all()):
            return False
        smallest = torch.linalg.eigvalsh(self._gram + product)[0]
        return bool(len(product) * smallest > SINGLE_PRECISION_RATIO**2 * product.trace())

    def singular_values(self) -> NDArray[np.float64]:
        """Square roots of the eigenvalues, descending."""
        eigenvalues = torch.linalg.eigvalsh(self._gram).flip(0).clamp_min(0)
        return np.asarray(eigenvalues.sqrt().numpy(), dtype=np.float64)


def _single_precision_product(rows: Tensor) -> Tensor:
    """F^T F in float64 ``(C, C)`` of products of short blocks in float32."""
    whole = len(rows) // SINGLE_BLOCK_ROWS * SINGLE_BLOCK_ROWS
    blocks = rows[:whole].reshape(-1, SINGLE_BLOCK_ROWS, rows.shape[1])
    rest = rows[whole:]
    return (torch.bmm(blocks.transpose(1, 2), blocks).sum(dim=0, dtype=torch.float64) + (rest.T @ rest).double()).cpu()


class TallSkinnyQrFactor:
    """R of a QR decomposition of all rows (TSQR): small singular values keep their relative accuracy."""

    def __init__(self, channels: int) -> None:
        self._r = torch.zeros((0, channels), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take rows ``(N, C)``."""
        self._r = torch.linalg.qr(torch.cat((self._r, rows.to(torch.float64).cpu())), mode="r")[1]
        _require_finite(self._r)

    def singular_values(self) -> NDArray[np.float64]:
        """Singular values of R, descending, zeros appended when there were fewer rows than channels."""
        values = torch.linalg.svdvals(self._r).numpy()
        return np.pad(np.asarray(values, dtype=np.float64), (0, self._r.shape[1] - len(values)))


def _require_finite(summary: Tensor) -> None:
    """Weights that are too large make maps that are no numbers, which have no singular values."""
    if not bool(torch.isfinite(summary).all()):
        raise ModelError(NOT_FINITE, remedy=NOT_FINITE_REMEDY)


class RowBuffer:
    """Rows ``(..., C)`` that wait until there are enough of them for a product; each is copied once.

    Args:
        channels: C.
        rows: that it holds.
    """

    def __init__(self, channels: int, rows: int) -> None:
        self._shape = (rows, channels)
        self._rows: Tensor | None = None
        self._filled = 0

    def add(self, part: Tensor) -> Iterator[Tensor]:
        """Take rows; yield ``(N, C)`` whenever it is full."""
        places, channels = part.shape[:-1], part.shape[-1]
        rows = prod(places)
        if self._filled + rows > self._shape[0]:
            yield from self.taken()
        if rows > self._shape[0]:
            yield part.reshape(-1, channels)
        elif rows:
            if self._rows is None:
                self._rows = part.new_empty(self._shape)
            self._rows[self._filled : self._filled + rows].view(*places, channels).copy_(part)
            self._filled += rows

    def taken(self) -> Iterator[Tensor]:
        """What waits ``(N, C)``, if there is any; it must be used before more is added."""
        if self._rows is not None and self._filled:
            yield self._rows[: self._filled]
        self._filled = 0


class SpectrumCollector:
    """Collects the spectra of chosen layers while tiles pass by.

    Args:
        architecture: of the network.
        layers: names of the feature maps.
        sizes: true ``(z, y, x)`` of the prepared image; padding beyond it is left out.
        floor: relative floor of the signature; decides how the values are computed.
    """

    def __init__(self, architecture: Architecture, layers: tuple[str, ...], sizes: Triple, floor: float) -> None:
        self._strides = {name: architecture.layer_stride(name) for name in layers}
        self._sizes = sizes
        channels = {name: architecture.channels[int(name[-1])] for name in layers}
        make = GramFactor if floor >= GRAM_FLOOR else TallSkinnyQrFactor
        self._factors: dict[str, Factor] = {name: make(c) for name, c in channels.items()}
        self._sums = {name: torch.zeros(c, dtype=torch.float64) for name, c in channels.items()}
        self._voxels, self._rows = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0)
        self._buffers = {name: RowBuffer(c, max(ROWS_AT_ONCE, VALUES_AT_ONCE // c)) for name, c in channels.items()}
        self._lattices = {name: self._lattice(name, c) for name, c in channels.items()}

    @staticmethod
    def held_bytes(architecture: Architecture, layers: tuple[str, ...]) -> int:
        """Rows that wait, at most; arguments as for the constructor."""
        channels = [architecture.channels[int(name[-1])] for name in layers]
        return sum(4 * c * max(ROWS_AT_ONCE, VALUES_AT_ONCE // c) for c in channels)

    @staticmethod
    def working_bytes(architecture: Architecture, layers: tuple[str, ...], slab: Triple) -> int:
        """What is taken at most while a map is looked at.

        Args:
            architecture, layers: as for the constructor.
            slab: ``(z, y, x)`` of the largest part of the image whose maps come at once.
        """
        most = 0
        for name in layers:
            channels = architecture.channels[int(name[-1])]
            rows = prod(slab) // prod(architecture.layer_stride(name))
            at_once = max(rows, ROWS_AT_ONCE, VALUES_AT_ONCE // channels)
            # Rows side by side, and in double precision.
            most = max(most, 4 * channels * rows + 8 * channels * min(BLOCK_ROWS, at_once))
        return most

    def _lattice(self, name: str, channels: int) -> RowLattice:
        z, y, x = (-(-n // s) for n, s in zip(self._sizes, self._strides[name], strict=True))
        return lattice_for((z, y, x), channels)

    def watch(self, tile: Tile) -> Callable[[str, Tensor], None]:
        """What to call with every slab ``(1, C, z, Y, X)`` of a tile's maps, in the order of z."""
        cores = {name: tile.core_in_tile(stride, self._sizes) for name, stride in self._strides.items()}
        corners = {name: self._corner(name, tile) for name in cores}
        seen = dict.fromkeys(cores, 0)

        def observe(name: str, slab: Tensor) -> None:
            """Take the core's part of a slab."""
            if name not in cores:
                return
            z, y, x = cores[name]
            start, stop = (min(max(edge - seen[name], 0), slab.shape[2]) for edge in (z.start, z.stop))
            if stop > start:
                first, *plane = corners[name]
                first += seen[name] + start - z.start
                self._take(name, slab[0, :, start:stop, y, x], (first, plane[0], plane[1]))
            seen[name] += slab.shape[2]

        return observe

    def _corner(self, name: str, tile: Tile) -> Triple:
        z, y, x = tile.core_in_volume(self._strides[name], self._sizes)
        return z.start, y.start, x.start

    def _take(self, name: str, core: Tensor, corner: Triple) -> None:
        """Look at a part ``(C, Z, Y, X)`` of a map, which begins at ``corner`` ``(z, y, x)``."""
        for part in self._lattices[name].parts(core, corner):
            for rows in self._buffers[name].add(part):
                self._add(name, rows)
        self._voxels[name] += core[0].numel()

    def _add(self, name: str, rows: Tensor) -> None:
        self._factors[name].add(rows)
        self._sums[name] += rows.sum(dim=0).double().cpu()
        self._rows[name] += len(rows)

    def spectra(self) -> dict[str, LayerSpectrum]:
        """Spectrum by layer name; of the whole map, even where only some of its rows were looked at."""
        return {name: self._spectrum(name, factor) for name, factor in self._factors.items()}

    def _spectrum(self, name: str, factor: Factor) -> LayerSpectrum:
        for waiting in self._buffers[name].taken():
            self._add(name, waiting)
        voxels, rows = self._voxels[name], max(1, self._rows[name])
        means = np.asarray((self._sums[name] / rows).numpy(), dtype=np.float64)
        return LayerSpectrum(factor.singular_values() * sqrt(voxels / rows), voxels, means)
