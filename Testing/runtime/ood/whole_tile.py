"""A tile's maps at once to a collector that takes slabs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from MultiTaskSegLib.runtime.network.tiling import Tile
from MultiTaskSegLib.runtime.ood.spectrum import SpectrumCollector


def collect(collector: SpectrumCollector, tile: Tile, maps: Mapping[str, Tensor]) -> None:
    """Hand over maps ``(1, C, Z, Y, X)`` by layer, each as one slab."""
    observe = collector.watch(tile)
    for name, whole in maps.items():
        observe(name, whole)
