"""A network as modules over a volume of any size, in tiles whose result does not depend on the tiling.

Beside `MultiTaskSegLib.runtime.network.network_stream`, which ships, because hooks on modules and autocast belong to
the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.tiling import Tile
from trainer.tiled.halo_tiles import make_tiles, pad_to_stride
from trainer.training.loss import some_channels

# About 0.7 kB of feature maps are alive per voxel with 16 channels at the finest level: 4 million voxels take 3 GB.
MAX_TILE_VOXELS = 4_000_000
ALL = slice(None)


@torch.inference_mode()
def run_tiles(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    consume: Callable[[Tile, dict[str, Tensor], Tensor], None],
    *,
    device: torch.device,
    channels: slice = ALL,
    max_tile_voxels: int = MAX_TILE_VOXELS,
    precision: torch.dtype = torch.float32,
) -> None:
    """Feed prepared voxels ``(Z, Y, X)`` through the network; hand every tile's maps and logits to ``consume``.

    Zero padding of the convolutions happens only at the true border of the padded volume, in one pass and in
    tiles alike, so results agree to rounding.

    Args:
        network: on ``device``.
        voxels: prepared image.
        consume: takes a tile, its maps by name, and logits ``(1, channels, Z, Y, X)``.
        device: where to compute.
        channels: of the head; the others are not computed.
        max_tile_voxels: of the input of a tile.
        precision: bfloat16 for autocast.
    """
    for tile, block in _blocks(network, voxels, device, max_tile_voxels):
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            maps = network.features(block)
            logits = some_channels(network.head, maps["decoder0"], channels)
        consume(tile, maps, logits)


def _blocks(
    network: SegmentationNetwork, voxels: NDArray[np.float32], device: torch.device, max_tile_voxels: int
) -> Iterator[tuple[Tile, Tensor]]:
    """Every tile with its input."""
    architecture = network.architecture
    padded = pad_to_stride(voxels, architecture.total_stride)
    z, y, x = padded.shape
    for tile in make_tiles((z, y, x), architecture.total_stride, architecture.halo, max_tile_voxels):
        block = torch.from_numpy(np.ascontiguousarray(padded[tile.source_slices()]))[None, None].to(device)
        yield tile, block.contiguous(memory_format=torch.channels_last_3d)
