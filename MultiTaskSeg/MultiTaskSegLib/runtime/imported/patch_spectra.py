"""Spectra of an image's feature maps from patches that overlap: of each patch its core, up to half of each overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.network.tiling import Tile
from MultiTaskSegLib.runtime.nnunet.patch_stream import Corner, Place, axis_starts
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum, SpectrumCollector

ENCODER = "encoder"


class PatchSpectra:
    """Collects spectra while patches pass by; every voxel counts once, in the patch that shows most around it.

    Args:
        architecture: of the encoder's maps.
        layers: names of the feature maps, of the encoder.
        grid: ``(Z, Y, X)`` of the image on the network's grid.
        patch: voxels of a patch, two or three numbers.
        floor: of the signature.
    """

    def __init__(
        self,
        architecture: Architecture,
        layers: tuple[str, ...],
        grid: Sequence[int],
        patch: Sequence[int],
        floor: float,
    ) -> None:
        thick = (*(1,) * (3 - len(patch)), *patch)
        z, y, x = (max(size, side) for size, side in zip(grid, thick, strict=True))
        self._sizes: Triple = (z, y, x)
        self._patch = thick
        self._layers = layers
        self._starts = axis_starts(self._sizes, patch)
        self._collector = SpectrumCollector(architecture, layers, self._sizes, floor)

    def __call__(self, maps: list[Tensor], corner: Corner, place: Place) -> None:
        """Take the maps ``(1, C, [z,] y, x)`` of the patch that begins at ``corner``; see `patch_stream.Watch`."""
        core = tuple(
            (max(low, inside.start), min(high, inside.stop))
            for (low, high), inside in zip(self._core(corner), place, strict=True)
        )
        if any(low >= high for low, high in core):
            return
        source = tuple((first, first + side) for first, side in zip(corner, self._patch, strict=True))
        observe = self._collector.watch(Tile(core, source))
        for name in self._layers:
            level = maps[int(name.removeprefix(ENCODER))]
            observe(name, level if level.dim() == 5 else level[:, :, None])

    def _core(self, corner: Corner) -> list[tuple[int, int]]:
        """Along each axis, from the middle of the overlap with the patch before to that with the patch after."""
        cores = []
        for first, starts, side, size in zip(corner, self._starts, self._patch, self._sizes, strict=True):
            number = starts.index(first)
            low = 0 if number == 0 else (first + starts[number - 1] + side) // 2
            high = size if number + 1 == len(starts) else (starts[number + 1] + first + side) // 2
            cores.append((low, high))
        return cores

    def spectra(self) -> Mapping[str, LayerSpectrum]:
        """By layer, of what has passed by."""
        return self._collector.spectra()
