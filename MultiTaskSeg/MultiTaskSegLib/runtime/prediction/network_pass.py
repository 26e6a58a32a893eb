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
from MultiTaskSegLib.runtime.network.network_stream import Kept, NetworkStream, Observe, slab_voxels_for
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


@dataclass(frozen=True)
class Wanted:
    """Labels that are wanted.

    Attributes:
        task: gives head channels and temperatures.
        shape: ``(Z, Y, X)`` of the image in canonical order: its own grid.
    """

    task: TaskInfo
    shape: Triple


@dataclass
class Encoded:
    """What a pass leaves.

    Attributes:
        spectra: by layer.
        kept: encoder maps for `NetworkPass.decode`, which uses them up.
        labels: of the task that was known beforehand.
    """

    spectra: Mapping[str, LayerSpectrum]
    kept: Kept = field(default_factory=dict)
    labels: RunningLabels | None = None


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

    def encode(
        self, voxels: NDArray[np.float32], progress: Progress, *, keep: bool = False, wanted: Wanted | None = None
    ) -> Encoded:
        """Spectra of prepared voxels ``(Z, Y, X)``.

        Args:
            voxels: prepared image.
            progress: told the share that is done.
            keep: whether `decode` follows, so that maps it can start from are kept.
            wanted: labels of a task that is known beforehand. The pass then goes on to its head at once, which keeps
                no map for later and computes none twice.

        Raises:
            ResourceError: memory runs out.
        """

        def run(backend: Backend, slab_voxels: int) -> Encoded:
            """With slabs of this size."""
            collector = self._collector(voxels)
            stream = NetworkStream(backend, self._architecture, voxels, slab_voxels, None if wanted else progress)
            observe = collector.watch(whole_image(stream.padded))
            if wanted:
                labels = self._labelled(backend, stream, wanted, voxels, progress, observe=observe)
                return Encoded(collector.spectra(), labels=labels)
            if self._only_encoder:
                kept = stream.encode(self._stages, observe, KEPT_BYTES if keep else 0)
                return Encoded(collector.spectra(), kept)
            for _ in stream.decode(observe=observe):
                pass
            return Encoded(collector.spectra())

        def in_tiles(backend: Backend, limit: int) -> Encoded:
            """With halos; the probabilities are put together in memory."""
            return self._tiled(backend, voxels, wanted, limit, progress)

        return self._with_less_memory(run, in_tiles)

    def decode(
        self, voxels: NDArray[np.float32], wanted: Wanted, encoded: Encoded, progress: Progress
    ) -> RunningLabels:
        """Labels of one task on the image's own grid.

        Args:
            voxels: prepared image ``(Z, Y, X)``.
            wanted: which labels.
            encoded: from `encode` of the same voxels; what it kept is used up.
            progress: told the share that is done.

        Raises:
            ResourceError: memory runs out.
        """
        if encoded.labels is not None:
            return encoded.labels

        def run(backend: Backend, slab_voxels: int) -> RunningLabels:
            """With slabs of this size."""
            stream = NetworkStream(backend, self._architecture, voxels, slab_voxels)
            # Used up at once: after a failure everything is computed again.
            kept, encoded.kept = encoded.kept, {}
            return self._labelled(backend, stream, wanted, voxels, progress, kept=kept)

        def in_tiles(backend: Backend, limit: int) -> RunningLabels:
            """With halos; the probabilities are put together in memory."""
            labels = self._tiled(backend, voxels, wanted, limit, progress).labels
            assert labels is not None
            return labels

        return self._with_less_memory(run, in_tiles)

    @property
    def _only_encoder(self) -> bool:
        return all(layer.startswith("encoder") for layer in self._spec.layers)

    @property
    def _stages(self) -> int:
        return 1 + max((int(layer[-1]) for layer in self._spec.layers), default=-1)

    def _labelled(
        self,
        backend: Backend,
        stream: NetworkStream,
        wanted: Wanted,
        voxels: NDArray[np.float32],
        progress: Progress,
        *,
        kept: Kept | None = None,
        observe: Observe | None = None,
    ) -> RunningLabels:
        """The last map goes through the task's head into the labels, slab by slab."""
        labels = LabelStream(wanted.task, _sizes(voxels), wanted.shape)
        done = 0
        for slab in stream.decode(kept, observe):
            labels.push_logits(backend.head(slab, wanted.task.channels))
            done += slab.shape[2]
            del slab  # which need not wait for the next one
            progress(done / stream.padded[0])
        return labels.running

    def _collector(self, voxels: NDArray[np.float32]) -> SpectrumCollector:
        return SpectrumCollector(self._architecture, self._spec.layers, _sizes(voxels), self._spec.floor)

    def _tiled(
        self,
        backend: Backend,
        voxels: NDArray[np.float32],
        wanted: Wanted | None,
        max_tile_voxels: int,
        progress: Progress,
    ) -> Encoded:
        """Spectra, and labels where they are wanted, of overlapping tiles."""
        architecture, sizes, collector = self._architecture, _sizes(voxels), self._collector(voxels)
        padded = pad_to_stride(voxels, architecture.total_stride)
        logits = None if wanted is None else torch.empty((1 + len(wanted.task.labels), *sizes), dtype=torch.float16)
        tiles = make_tiles(_sizes(padded), architecture.total_stride, architecture.halo, max_tile_voxels)
        for done, tile in enumerate(tiles, start=1):
            stream = NetworkStream(backend, architecture, padded[tile.source_slices()], 1)
            slabs = stream.decode(observe=collector.watch(tile))
            if logits is None or wanted is None:
                for _ in slabs:
                    pass
            else:
                found = torch.cat([backend.head(slab, wanted.task.channels).half().cpu() for slab in slabs], dim=1)
                inside = (slice(None), *tile.core_in_tile((1, 1, 1), sizes))
                target = (slice(None), *tile.core_in_volume((1, 1, 1), sizes))
                logits[target] = found[inside]
            progress(done / len(tiles))
        if logits is None or wanted is None:
            return Encoded(collector.spectra())
        labels = LabelStream(wanted.task, sizes, wanted.shape)
        for slab in logits.split(1, dim=1):
            labels.push_logits(slab.float())
        return Encoded(collector.spectra(), labels=labels.running)

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
    spectra = network_pass.encode(voxels, lambda share: None).spectra
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
