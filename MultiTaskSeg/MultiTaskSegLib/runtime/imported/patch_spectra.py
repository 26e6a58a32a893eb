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
        self._strides = {name: architecture.layer_stride(name) for name in layers}
        self._collector = SpectrumCollector(architecture, layers, self._sizes, floor)

    def __call__(self, maps: list[Tensor], corner: Corner, place: Place) -> None:
        """Take the maps ``(1, C, [z,] y, x)`` of the patch that begins at ``corner``; see `patch_stream.Watch`."""
        source = tuple((first, first + side) for first, side in zip(corner, self._patch, strict=True))
        for name in self._layers:
            core = self._clipped(self._core(corner), place, self._strides[name])
            if all(low < high for low, high in core):
                level = maps[int(name.removeprefix(ENCODER))]
                observe = self._collector.watch(Tile(core, source))
                observe(name, level if level.dim() == 5 else level[:, :, None])

    @staticmethod
    def _clipped(core: list[tuple[int, int]], place: Place, stride: Triple) -> tuple[tuple[int, int], ...]:
        """Without the zeros around the image, but for the rest of a map's voxel that the image has a part in."""
        return tuple(
            (max(low, inside.start // step * step), min(high, -(-inside.stop // step) * step))
            for (low, high), inside, step in zip(core, place, stride, strict=True)
        )

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
