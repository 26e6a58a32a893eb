"""One network as it ships over prepared images: what the check looks at, and the logits of a task in the same pass."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, slab_voxels_for
from MultiTaskSegLib.runtime.network.tiling import whole_image
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import SpectrumCollector
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass

SMALLER = 16
"""By so much slabs shrink where memory is short."""


class ShippedPass:
    """Runs a network slab by slab as the shipped pipeline does.

    Args:
        network: whose weights to use; they are copied.
        spec: of the signature.
        device: where to compute.
    """

    def __init__(self, network: SegmentationNetwork, spec: SignatureSpec, device: torch.device) -> None:
        self.architecture, self.spec, self.device = network.architecture, spec, device
        self._backend = TorchBackend(network, device)

    def observed(self, voxels: NDArray[np.float32]) -> Observed:
        """What a signature needs of a prepared image ``(Z, Y, X)``; the decoder runs only where it looks at it."""
        network_pass = NetworkPass(self._backend, self.architecture, self.spec)
        spectra = network_pass.encode(voxels, lambda share: None).spectra
        return self._with_image(voxels, {**spectra})

    def answered(self, voxels: NDArray[np.float32], channels: slice) -> tuple[NDArray[np.float32], Observed]:
        """The same, and the logits ``(channels, Z, Y, X)`` of some of the head's channels."""
        slab_voxels = slab_voxels_for(self.device)
        while True:
            try:
                return self._answered(voxels, channels, slab_voxels)
            except (MemoryError, RuntimeError) as error:
                if slab_voxels == 1 or not is_out_of_memory(error):
                    raise
                slab_voxels = max(1, slab_voxels // SMALLER)

    @torch.inference_mode()
    def _answered(
        self, voxels: NDArray[np.float32], channels: slice, slab_voxels: int
    ) -> tuple[NDArray[np.float32], Observed]:
        z, y, x = voxels.shape
        stream = NetworkStream(self._backend, self.architecture, voxels, slab_voxels)
        collector = SpectrumCollector(self.architecture, self.spec.layers, (z, y, x), self.spec.floor)
        # Filled slab by slab: of a large image with many labels there is no room for a second copy.
        count = len(range(*channels.indices(self.architecture.outputs)))
        logits, first = np.empty((count, z, y, x), dtype=np.float32), 0
        for slab in stream.decode(observe=collector.watch(whole_image(stream.padded))):
            part = self._backend.head(slab, channels)[:, : z - first, :y, :x]
            logits[:, first : first + part.shape[1]] = part.cpu().numpy()
            first += part.shape[1]
        return logits, self._with_image(voxels, {**collector.spectra()})

    def _with_image(self, voxels: NDArray[np.float32], spectra: Observed) -> Observed:
        observed = {**spectra, **self.spec.image_part(voxels, self.architecture.is_planar)}
        # Hundreds of images of different sizes would leave gigabytes of holes in the heap.
        release_freed_memory()
        return observed
