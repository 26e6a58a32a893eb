"""A part of a volume with what its result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from MultiTaskSegLib.runtime.network.architecture import Triple


@dataclass(frozen=True)
class Tile:
    """A core region and the input region that determines it, as ``(start, stop)`` per axis ``(z, y, x)``.

    Corners are multiples of the network's total stride, so that pooling cells never straddle two tiles.
    """

    core: tuple[tuple[int, int], ...]
    source: tuple[tuple[int, int], ...]

    def source_slices(self) -> tuple[slice, ...]:
        """Index of the input region in the padded volume."""
        return tuple(slice(a, b) for a, b in self.source)

    def core_in_volume(self, stride: Triple, sizes: Triple) -> tuple[slice, ...]:
        """Index of the core in a map of ``stride`` that is trimmed to the true image of ``sizes`` voxels."""
        return tuple(
            slice(a // s, min(b // s, ceil(n / s))) for (a, b), s, n in zip(self.core, stride, sizes, strict=True)
        )

    def core_in_tile(self, stride: Triple, sizes: Triple) -> tuple[slice, ...]:
        """Index of the same voxels in the tile's own map of ``stride``."""
        volume = self.core_in_volume(stride, sizes)
        return tuple(
            slice(v.start - first // s, v.stop - first // s)
            for v, (first, _), s in zip(volume, self.source, stride, strict=True)
        )
