"""What a pass of the network will take, told by the pass itself: `NetworkStream` runs over a sliver of the image.

Everything that it holds grows with the plane, and not with the depth once the network is filled. So it runs over planes
of one cell of the coarsest level, no deeper than it takes to fill the network, with all weights zero, while a ledger
counts what is alive; the result is multiplied by the cells of the true plane. No formula has to keep up with the code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork, Triple
from MultiTaskSegLib.runtime.network.backend import Backend, FirstPart, SecondPart, TorchBackend
from MultiTaskSegLib.runtime.network.compiled_backend import CompiledBackend, Part
from MultiTaskSegLib.runtime.network.convolution import Route, scratch_bytes
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream, block_slices, kept_levels
from MultiTaskSegLib.runtime.network.tensor_ledger import TensorLedger

CONVOLUTIONS = ("conv3d", "mkldnn_convolution")
# Slabs after the halo until nothing grows any more: one is under way, one fills up, one comes at the far end.
SLABS_TO_FILL = 3
# The device on which tensors have a size, and no memory. Its first use makes torch load 800 modules, 54 MB and two
# seconds, so that it is kept for networks whose rehearsal would take more than this.
NOWHERE, HERE = torch.device("meta"), torch.device("cpu")
LARGEST_BYTES = 200_000_000
# How often what one compiled part takes is counted (measured: once to twice, where it is much).
KEPT_TIMES = 2
# Maps of the finest level that are alive at a time: two convolutions, their inputs and what waits.
LIVE_MAPS = 6


@dataclass(frozen=True)
class PassMemory:
    """What a pass takes.

    Attributes:
        encoding_bytes: at most, while `NetworkStream.encode` runs; 0 where it does not.
        decoding_bytes: at most, while `NetworkStream.decode` runs, with what was kept for it; 0 where it does not.
        watching_bytes: while a map is handed to who watches.
        handing_bytes: while a slab is handed out.
        kept_bytes: of the encoder maps that wait between the two.
        slab_slices: of the thickest slab that is handed out.
    """

    encoding_bytes: int = 0
    decoding_bytes: int = 0
    watching_bytes: int = 0
    handing_bytes: int = 0
    kept_bytes: int = 0
    slab_slices: int = 0

    @property
    def peak_bytes(self) -> int:
        """At most, at any time."""
        return max(self.encoding_bytes, self.decoding_bytes)

    @property
    def passing_bytes(self) -> int:
        """What comes and goes again while the rest stays."""
        return self.peak_bytes - max(self.watching_bytes, self.handing_bytes)


def pass_memory(
    architecture: Architecture,
    padded: Triple,
    slices: int,
    route: Route,
    *,
    encoder_stages: int | None = None,
    keep_bytes: int = 0,
    decodes: bool = True,
    stem: int = 0,
    is_compiled: bool = False,
) -> PassMemory:
    """What tensors take while an image passes through the network.

    Args:
        architecture: of the network.
        padded: ``(z, y, x)`` of the image, or of the largest strip of it.
        slices: in a slab.
        route: of its convolutions.
        encoder_stages: how many stages are run beforehand by `NetworkStream.encode`; None for none.
        keep_bytes: for maps of these that `NetworkStream.decode` is spared.
        decodes: whether the whole network is run (afterwards).
        stem: which of the network's stems takes the image.
        is_compiled: whether a `CompiledBackend` computes the stages.
    """
    depth, rows, columns = padded
    # Whole slabs: at the far end a thick one needs most.
    filled = slices * (ceil(architecture.halo[0] / slices) + SLABS_TO_FILL)
    kept = {} if encoder_stages is None else kept_levels(architecture, padded, keep_bytes)
    sliver = _rehearsed(
        architecture, min(depth, filled), slices, route, encoder_stages, tuple(kept), decodes, stem, is_compiled
    )
    cells = rows * columns // prod(architecture.total_stride[1:])
    # Of what is kept there is more, the deeper the image, and the last block may be filled by one slice.
    more = sum(kept.values()) - cells * sliver.kept_bytes
    for level, size in kept.items():
        level_slices = depth // architecture.level_strides[level][0]
        more += size * block_slices(architecture, depth, slices, level) // level_slices
    encoding, decoding, watching, handing = (
        cells * size + more if size else 0
        for size in (sliver.encoding_bytes, sliver.decoding_bytes, sliver.watching_bytes, sliver.handing_bytes)
    )
    return PassMemory(encoding, decoding, watching, handing, sum(kept.values()), min(depth, sliver.slab_slices))


@lru_cache(maxsize=256)
def _rehearsed(
    architecture: Architecture,
    depth: int,
    slices: int,
    route: Route,
    encoder_stages: int | None,
    levels: tuple[int, ...],
    decodes: bool,
    stem: int,
    is_compiled: bool,
) -> PassMemory:
    """`PassMemory` of planes of one cell."""
    sliver = (depth, *architecture.total_stride[1:])
    kept_bytes = sum(kept_levels(architecture, sliver, 2**62)[level] for level in levels)
    plain, ledger = _silent(architecture, _device(architecture, sliver)), TensorLedger(_scratch_by(route))
    backend: Backend = CompiledBackend("rehearsal", plain, _silent_part) if is_compiled else plain
    watching: list[int] = [0]

    def watch(name: str, slab: Tensor) -> None:
        """Take note of what is alive."""
        watching.append(ledger.live_bytes)

    kept = None
    encoding = decoding = handing = thickest = 0
    with torch.inference_mode(), ledger:
        voxels = np.zeros((architecture.stems[stem], *sliver), dtype=np.float32)
        stream = NetworkStream(backend, architecture, voxels, slices * prod(sliver[1:]), stem=stem)
        if encoder_stages is not None:
            kept = stream.encode(encoder_stages, watch, kept_bytes)
            encoding = ledger.peak_bytes
            ledger.restart()
        if decodes:
            for slab in stream.decode(kept, watch if encoder_stages is None else None):
                handing, thickest = max(handing, ledger.live_bytes), max(thickest, slab.shape[2])
                del slab
            decoding = ledger.peak_bytes
    return PassMemory(encoding, decoding, max(watching), handing, kept_bytes, thickest)


def _silent(architecture: Architecture, device: torch.device) -> TorchBackend:
    """A back end whose maps are all zero, or have no values at all."""
    with device:
        network = SegmentationNetwork(architecture)
    for weights in network.parameters():
        weights.data.zero_()
    return TorchBackend(network, device)


def _silent_part(module: nn.Module, channels: tuple[int, ...], context: int) -> Part:
    """Holds what OpenVINO takes for a part: inputs and result once more in another order of the axes, and the result
    before it is copied. It is counted as if every part held its own until the next call, and as much again: each part
    computes in a thread of its own, and the C library keeps for a thread most of what that gives back."""
    assert isinstance(module, (FirstPart, SecondPart))
    convolution = module.convolution
    held: list[Tensor] = []

    def run(*inputs: Tensor) -> Tensor:
        """A result that is all zero, or has no values at all."""
        _, _, slices, rows, columns = inputs[0].shape
        shape = (1, convolution.out_channels, slices - convolution.kernel_size[0] + 1, rows, columns)
        result = torch.zeros(shape, device=inputs[0].device)
        taken = KEPT_TIMES * (*inputs, result, result)
        if sum(x.nbytes for x in taken) > sum(x.nbytes for x in held):
            held.clear()
            held.extend(torch.empty_like(x) for x in taken)
        return result.to(memory_format=torch.channels_last_3d)

    return run


def _device(architecture: Architecture, sliver: Triple) -> torch.device:
    """Where to rehearse: a rehearsal must not take what it is to find out."""
    channels = architecture.channels
    wide = max(channels)
    weights = sum(
        2 * prod(kernel) * own * (own + wide) for kernel, own in zip(architecture.kernels, channels, strict=True)
    )
    return HERE if 4 * (weights + LIVE_MAPS * wide * prod(sliver)) <= LARGEST_BYTES else NOWHERE


def _scratch_by(route: Route) -> Callable[[Callable[..., Any], tuple[Any, ...], Tensor], int]:
    def scratch(function: Callable[..., Any], arguments: tuple[Any, ...], result: Tensor) -> int:
        """Of convolutions."""
        if getattr(function, "__name__", "") not in CONVOLUTIONS:
            return 0
        return scratch_bytes(route, arguments[0], arguments[1], result)

    return scratch
