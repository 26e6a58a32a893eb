"""One pass of the network over a prepared image: spectra, and probabilities of the tasks that may be wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.manifest import TaskInfo
from MultiTaskSegLib.runtime.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.network import SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.spectrum import LayerSpectrum, SpectrumCollector
from MultiTaskSegLib.runtime.tiling import MAX_TILE_VOXELS, Tile, run_encoder, run_tiles

SMALLEST_TILE_VOXELS = 60_000


@dataclass(frozen=True)
class PassResult:
    """What one pass leaves.

    Attributes:
        spectra: by layer.
        probabilities: by task name, calibrated float16 ``(1 + labels, Z, Y, X)`` on the network grid.
        max_tile_voxels: tile size that fitted into memory.
    """

    spectra: Mapping[str, LayerSpectrum]
    probabilities: Mapping[str, NDArray[np.float16]]
    max_tile_voxels: int


def run_pass(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    tasks: Sequence[TaskInfo],
    layers: tuple[str, ...],
    floor: float,
    *,
    device: torch.device,
    progress: Callable[[float], None] | None = None,
    max_tile_voxels: int = MAX_TILE_VOXELS,
) -> PassResult:
    """Run the network over prepared voxels ``(Z, Y, X)``; when memory runs out, again with smaller tiles.

    Args:
        network: plain convolutions.
        voxels: prepared image in [0, 1].
        tasks: whose probabilities to keep; none for a check without segmentation.
        layers, floor: of the spectral signature.
        device: where the network is.
        progress: told the share that is done.
        max_tile_voxels: where to start.

    Raises:
        ResourceError: not even the smallest tiles fit.
    """
    while True:
        try:
            return _run(network, voxels, tasks, layers, floor, device, progress, max_tile_voxels)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        max_tile_voxels //= 2
        if max_tile_voxels < SMALLEST_TILE_VOXELS:
            raise ResourceError(
                f"not enough memory on {device} even for small tiles",
                remedy="Close other programs or use another device",
            )


def _run(
    network: SegmentationNetwork,
    voxels: NDArray[np.float32],
    tasks: Sequence[TaskInfo],
    layers: tuple[str, ...],
    floor: float,
    device: torch.device,
    progress: Callable[[float], None] | None,
    max_tile_voxels: int,
) -> PassResult:
    z, y, x = voxels.shape
    sizes: Triple = (z, y, x)
    collector = SpectrumCollector(network.architecture, layers, sizes, floor)
    kept = {task.name: np.empty((1 + len(task.labels), z, y, x), dtype=np.float16) for task in tasks}

    def consume(tile: Tile, maps: dict[str, Tensor], logits: Tensor) -> None:
        """Add a tile to the spectra and keep its probabilities."""
        collector.add(tile, maps)
        inside: tuple[int | slice, ...] = (0, slice(None), *tile.core_in_tile((1, 1, 1), sizes))
        target = (slice(None), *tile.core_in_volume((1, 1, 1), sizes))
        for task in tasks:
            calibrated = logits[:, task.channels][inside].float() / task.temperature
            kept[task.name][target] = torch.softmax(calibrated, dim=0).to(torch.float16).cpu().numpy()

    if tasks or not all(layer.startswith("encoder") for layer in layers):
        run_tiles(network, voxels, consume, device=device, max_tile_voxels=max_tile_voxels, progress=progress)
    else:
        # Nothing is wanted of the decoder, which is most of the work.
        stages = 1 + max(int(layer[-1]) for layer in layers)
        run_encoder(
            network, voxels, stages, collector.add, device=device, max_tile_voxels=max_tile_voxels, progress=progress
        )
    return PassResult(collector.spectra(), kept, max_tile_voxels)


def spectra_of(
    network: SegmentationNetwork, voxels: NDArray[np.float32], spec: SignatureSpec, device: torch.device
) -> Observed:
    """What a signature needs of a prepared image ``(Z, Y, X)``, and nothing else, for fitting a reference."""
    spectra = run_pass(network, voxels, (), spec.layers, spec.floor, device=device).spectra
    observed: Observed = {**spectra, **spec.image_part(voxels, network.architecture.is_planar)}
    # Hundreds of images of different sizes would leave gigabytes of holes in the heap.
    release_freed_memory()
    return observed


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
