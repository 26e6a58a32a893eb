"""Over one prepared image: spectra first, then the labels of one task; in smaller parts when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream, RunningLabels
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import Kept, NetworkStream, slab_voxels_for
from MultiTaskSegLib.runtime.network.tiling import make_tiles, pad_to_stride, whole_image
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum, SpectrumCollector

# Encoder maps kept between the check and the segmentation; what does not fit is computed again.
KEPT_BYTES = 200_000_000
# Tiles with halos are the last resort, where not even one slab of a plane fits.
LARGEST_TILE_VOXELS = 2_000_000
SMALLEST_TILE_VOXELS = 60_000
IN_TILES = 0  # slab size that means: begin with tiles
IN_PARTS = "memory was short, so the image was processed in smaller parts, which takes longer"

Progress = Callable[[float], None]
Found = TypeVar("Found")


@dataclass
class Encoded:
    """What the check leaves.

    Attributes:
        spectra: by layer.
        kept: encoder maps for `NetworkPass.label`, which uses them up.
    """

    spectra: Mapping[str, LayerSpectrum]
    kept: Kept = field(default_factory=dict)


class NetworkPass:
    """Runs the network over prepared images and steps down when memory is short.

    Args:
        backends: computes; the others take over, one after the other, when not even its smallest tiles fit.
        architecture: of the network.
        spec: of the signature.
        max_slab_voxels: how many voxels to take at a time where that is known to fit, or `IN_TILES`; None for as many
            as are fast.

    Attributes:
        notes: what the user should know about how memory was found.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        architecture: Architecture,
        spec: SignatureSpec,
        max_slab_voxels: int | None = None,
    ) -> None:
        self._max_slab_voxels = max_slab_voxels
        self._backends, self._architecture, self._spec = list(backends), architecture, spec
        self.notes: list[str] = []

    @property
    def device(self) -> torch.device:
        """Where it runs now."""
        return self._backends[0].device

    def encode(self, voxels: NDArray[np.float32], keep: bool, progress: Progress) -> Encoded:
        """Spectra of prepared voxels ``(Z, Y, X)``; with ``keep`` what `label` can start from.

        Raises:
            ResourceError: memory runs out.
        """
        layers = self._spec.layers
        only_encoder = all(layer.startswith("encoder") for layer in layers)
        stages = 1 + max((int(layer[-1]) for layer in layers), default=-1)

        def run(backend: Backend, slab_voxels: int) -> Encoded:
            """With slabs of this size."""
            collector = self._collector(voxels)
            stream = NetworkStream(backend, self._architecture, voxels, slab_voxels, progress)
            observe = collector.watch(whole_image(stream.padded))
            if only_encoder:
                kept = stream.encode(stages, observe, KEPT_BYTES if keep else 0)
                return Encoded(collector.spectra(), kept)
            for _ in stream.decode(observe=observe):
                pass
            return Encoded(collector.spectra())

        return self._with_less_memory(run, lambda backend, limit: Encoded(self._tiled(backend, voxels, None, limit)))

    def label(
        self, voxels: NDArray[np.float32], task: TaskInfo, shape: Triple, encoded: Encoded | None, progress: Progress
    ) -> tuple[Mapping[str, LayerSpectrum], RunningLabels]:
        """Labels of one task on the image's own grid.

        Args:
            voxels: prepared image ``(Z, Y, X)``.
            task: gives head channels and temperatures.
            shape: ``(Z, Y, X)`` of the image in canonical order.
            encoded: from `encode`; without it the spectra are found on the way.
            progress: told the share that is done.

        Raises:
            ResourceError: memory runs out.
        """

        def run(backend: Backend, slab_voxels: int) -> tuple[Mapping[str, LayerSpectrum], RunningLabels]:
            """With slabs of this size."""
            collector = self._collector(voxels)
            labels = LabelStream(task, _sizes(voxels), shape)
            stream = NetworkStream(backend, self._architecture, voxels, slab_voxels)
            kept: Kept = {}
            if encoded:
                # Used up at once: after a failure everything is computed again.
                kept, encoded.kept = encoded.kept, kept
            observe = None if encoded else collector.watch(whole_image(stream.padded))
            done = 0
            for slab in stream.decode(kept, observe):
                labels.push_logits(backend.head(slab, task.channels))
                done += slab.shape[2]
                del slab  # which need not wait for the next one
                progress(done / stream.padded[0])
            return encoded.spectra if encoded else collector.spectra(), labels.running

        def in_tiles(backend: Backend, limit: int) -> tuple[Mapping[str, LayerSpectrum], RunningLabels]:
            """With halos; the probabilities are put together in memory."""
            labels = LabelStream(task, _sizes(voxels), shape)
            spectra = self._tiled(backend, voxels, (task, labels), limit)
            return encoded.spectra if encoded else spectra, labels.running

        return self._with_less_memory(run, in_tiles)

    def _collector(self, voxels: NDArray[np.float32]) -> SpectrumCollector:
        return SpectrumCollector(self._architecture, self._spec.layers, _sizes(voxels), self._spec.floor)

    def _tiled(
        self,
        backend: Backend,
        voxels: NDArray[np.float32],
        wanted: tuple[TaskInfo, LabelStream] | None,
        max_tile_voxels: int,
    ) -> Mapping[str, LayerSpectrum]:
        """Spectra, and labels where they are wanted, of overlapping tiles."""
        architecture, sizes, collector = self._architecture, _sizes(voxels), self._collector(voxels)
        padded = pad_to_stride(voxels, architecture.total_stride)
        logits = None if wanted is None else torch.empty((1 + len(wanted[0].labels), *sizes), dtype=torch.float16)
        for tile in make_tiles(_sizes(padded), architecture.total_stride, architecture.halo, max_tile_voxels):
            stream = NetworkStream(backend, architecture, padded[tile.source_slices()], 1)
            slabs = stream.decode(observe=collector.watch(tile))
            if logits is None or wanted is None:
                for _ in slabs:
                    pass
                continue
            found = torch.cat([backend.head(slab, wanted[0].channels).half().cpu() for slab in slabs], dim=1)
            inside = (slice(None), *tile.core_in_tile((1, 1, 1), sizes))
            target = (slice(None), *tile.core_in_volume((1, 1, 1), sizes))
            logits[target] = found[inside]
        if logits is not None and wanted is not None:
            for slab in logits.split(1, dim=1):
                wanted[1].push_logits(slab.float())
        return collector.spectra()

    @torch.inference_mode()
    def _with_less_memory(
        self, run: Callable[[Backend, int], Found], in_tiles: Callable[[Backend, int], Found]
    ) -> Found:
        while True:
            backend = self._backends[0]
            limit = slab_voxels_for(backend.device) if self._max_slab_voxels is None else self._max_slab_voxels
            attempts = [] if limit == IN_TILES else [(run, voxels) for voxels in _halved(limit, 1)]
            largest = SMALLEST_TILE_VOXELS if limit == IN_TILES else LARGEST_TILE_VOXELS
            attempts += [(in_tiles, voxels) for voxels in _halved(largest, SMALLEST_TILE_VOXELS)]
            for number, (attempt, voxels) in enumerate(attempts):
                if number == 1:
                    self.notes.append(IN_PARTS)
                try:
                    return attempt(backend, voxels)
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error):
                        raise
            if len(self._backends) == 1:
                raise ResourceError(
                    f"not enough memory on {backend.device} even for small tiles",
                    remedy="Close other programs or use another device",
                )
            del self._backends[0]
            self.notes.append(f"the memory of {backend.device} was too small, so {self.device} was used")


def spectra_of(
    network: SegmentationNetwork, voxels: NDArray[np.float32], spec: SignatureSpec, device: torch.device
) -> Observed:
    """What a signature needs of a prepared image ``(Z, Y, X)``, and nothing else, for fitting a reference."""
    network_pass = NetworkPass([TorchBackend(network, device)], network.architecture, spec)
    spectra = network_pass.encode(voxels, False, lambda share: None).spectra
    observed: Observed = {**spectra, **spec.image_part(voxels, network.architecture.is_planar)}
    # Hundreds of images of different sizes would leave gigabytes of holes in the heap.
    release_freed_memory()
    return observed


def _halved(largest: int, smallest: int) -> list[int]:
    """``largest``, a quarter of it, and so on, ``smallest`` at last."""
    sizes = [largest]
    while sizes[-1] // 4 > smallest:
        sizes.append(sizes[-1] // 4)
    return [*sizes, smallest]


def _sizes(voxels: NDArray[np.float32]) -> Triple:
    z, y, x = voxels.shape
    return z, y, x
