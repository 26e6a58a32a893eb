"""One network as it ships over prepared images: what the check looks at, and the logits of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, Observe, slab_voxels_for
from MultiTaskSegLib.runtime.network.parts import strips
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum, SpectrumCollector
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass, Wanted

SMALLER = 16
"""By so much slabs shrink where memory is short."""

Found = TypeVar("Found")


class ShippedPass:
    """Runs a network slab by slab as the shipped pipeline does.

    Prepared images are ``(Z, Y, X)``, of several channels ``(C, Z, Y, X)``; ``stem`` says which of the network's stems
    takes them.

    Args:
        network: whose weights to use; they are copied.
        device: where to compute.
    """

    def __init__(self, network: SegmentationNetwork, device: torch.device) -> None:
        self.architecture, self.device = network.architecture, device
        self._backend = TorchBackend(network, device)

    def observed(self, voxels: NDArray[np.float32], spec: SignatureSpec, stem: int = 0) -> Observed:
        """What a signature needs of a prepared image; the decoder runs only where it looks at it."""
        spectra = self._pass(spec).encode(voxels, _untold, stem=stem).spectra
        return self._with_image(voxels, spec, {**spectra})

    def labelled(
        self, voxels: NDArray[np.float32], spec: SignatureSpec, task: TaskInfo, shape: tuple[int, ...], stem: int = 0
    ) -> None:
        """Go all the way to the labels of a task on a grid of ``shape`` ``(Z, Y, X)``, to see how long it takes."""
        z, y, x = shape
        self._pass(spec).encode(voxels, _untold, wanted=Wanted(task, (z, y, x)), stem=stem)

    def logits(self, voxels: NDArray[np.float32], channels: slice, stem: int = 0) -> NDArray[np.float32]:
        """Logits ``(channels, Z, Y, X)`` of some of the head's channels."""
        return self._with_less_memory(lambda slab_voxels: self._decoded(voxels, channels, slab_voxels, stem))

    def answered(
        self, voxels: NDArray[np.float32], spec: SignatureSpec, channels: slice, stem: int = 0
    ) -> tuple[NDArray[np.float32], Observed]:
        """`logits`, and from the same pass what `observed` gives."""

        def run(slab_voxels: int) -> tuple[NDArray[np.float32], dict[str, LayerSpectrum]]:
            """With slabs of this size."""
            z, y, x = voxels.shape[-3:]
            collector = SpectrumCollector(self.architecture, spec.layers, (z, y, x), spec.floor)
            logits = self._decoded(voxels, channels, slab_voxels, stem, collector)
            return logits, collector.spectra()

        logits, spectra = self._with_less_memory(run)
        return logits, self._with_image(voxels, spec, {**spectra})

    def _pass(self, spec: SignatureSpec) -> NetworkPass:
        return NetworkPass(self._backend, self.architecture, spec)

    def _with_less_memory(self, run: Callable[[int], Found]) -> Found:
        slab_voxels = slab_voxels_for(self.device)
        while True:
            try:
                return run(slab_voxels)
            except (MemoryError, RuntimeError) as error:
                if slab_voxels == 1 or not is_out_of_memory(error):
                    raise
                slab_voxels = max(1, slab_voxels // SMALLER)

    @torch.inference_mode()
    def _decoded(
        self,
        voxels: NDArray[np.float32],
        channels: slice,
        slab_voxels: int,
        stem: int,
        collector: SpectrumCollector | None = None,
    ) -> NDArray[np.float32]:
        z, y, x = voxels.shape[-3:]
        stream = NetworkStream(self._backend, self.architecture, voxels, slab_voxels, stem=stem)
        (whole,) = strips(stream.padded, None, 0)
        observe: Observe | None = collector.watch(whole) if collector else None
        # Filled slab by slab: of a large image with many labels there is no room for a second copy.
        count = len(range(*channels.indices(self.architecture.outputs)))
        logits, first = np.empty((count, z, y, x), dtype=np.float32), 0
        for slab in stream.decode(observe=observe):
            part = self._backend.head(slab, channels)[:, : z - first, :y, :x]
            logits[:, first : first + part.shape[1]] = part.cpu().numpy()
            first += part.shape[1]
        return logits

    def _with_image(self, voxels: NDArray[np.float32], spec: SignatureSpec, spectra: Observed) -> Observed:
        architecture = self.architecture
        statistics = spec.image_part(voxels, architecture.is_planar, max(architecture.stems))
        observed = {**spectra, **statistics}
        # Hundreds of images of different sizes would leave gigabytes of holes in the heap.
        release_freed_memory()
        return observed


def _untold(share: float) -> None:
    """Nobody wants to know."""
