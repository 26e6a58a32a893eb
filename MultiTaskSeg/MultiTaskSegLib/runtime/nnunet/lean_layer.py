"""Convolution and instance normalisation with little memory beside input and output.

Networks of nnU-Net take statistics over the whole patch, so that a patch cannot be cut into slabs; but maps side by
side need not be copied into one, and what was convolved need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from MultiTaskSegLib.runtime.network.convolution import UNIT, direct_convolution

CONVOLVE: Mapping[int, Callable[..., Tensor]] = {2: functional.conv2d, 3: functional.conv3d}
LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}
"""Order of a map in memory by the dimensions of the network: libraries need no copies in orders of their own."""
# Values of maps side by side that are made at a time: 48 MB.
CHUNK_VALUES = 12_000_000
# Values that are normalised at a time, so that they stay in the processor's cache; rows that are summed up at a time.
BLOCK_VALUES, SUMMED_ROWS = 262_144, 1_024


class Finer:
    """A coarse map that is to be made finer by a transposed convolution whose kernel is its stride.

    Args:
        convolution: without padding.
        low: ``(B, C, [Z,] Y, X)``.
    """

    def __init__(self, convolution: nn.Module, low: Tensor) -> None:
        assert isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d)
        self._convolution, self._low = convolution, low

    def slices(self, first: int, last: int) -> Tensor:
        """Slices of the finer map, along the first axis of space."""
        step = self._convolution.stride[0]
        start = first // step
        finer: Tensor = self._convolution(self._low[:, :, start : -(-last // step)])
        return finer[:, :, first - start * step : last - start * step]


def convolved(
    convolution: nn.Module, maps: list[Tensor], finer: list[Finer], chunk_values: int = CHUNK_VALUES
) -> Tensor:
    """Maps ``(B, C, [Z,] Y, X)`` side by side through one convolution, some slices at a time; the lists are emptied.

    Args:
        convolution: with padding that keeps sizes; with a stride where there is one map.
        maps: one.
        finer: one that comes before it, or none.
        chunk_values: of the result that are made at a time.
    """
    assert isinstance(convolution, nn.Conv2d | nn.Conv3d)
    if not finer:
        return _convolved(convolution, maps.pop(), convolution.padding)
    first, dimension = maps[0], maps[0].dim() - 2
    size, around = first.shape[2], convolution.kernel_size[0] // 2
    per_slice = convolution.in_channels * first[0, 0, 0].numel()
    step = max(1, chunk_values // per_slice)
    padding = (0, *(side // 2 for side in convolution.kernel_size[1:]))
    result = torch.empty(
        (first.shape[0], convolution.out_channels, *first.shape[2:]),
        dtype=first.dtype,
        device=first.device,
        memory_format=LAYOUT[dimension],
    )
    for start in range(0, size, step):
        stop = min(start + step, size)
        low, high = max(0, start - around), min(size, stop + around)
        chunk = torch.cat([finer[0].slices(low, high), first[:, :, low:high]], 1)
        missing = low - (start - around), stop + around - high
        if any(missing):
            chunk = functional.pad(chunk, (*(0, 0) * (dimension - 1), *missing))
        result[:, :, start:stop] = _convolved(convolution, chunk, padding)
    maps.clear()
    finer.clear()
    return result


def _convolved(convolution: nn.Conv2d | nn.Conv3d, maps: Tensor, padding: Any) -> Tensor:
    """Left to itself, torch takes a way for small maps that writes out the neighbourhood of every voxel."""
    direct = direct_convolution() if maps.device.type == "cpu" and maps.dim() == 5 else None
    weight, bias = convolution.weight, convolution.bias
    if direct is not None:
        return direct(maps, weight, bias, padding, convolution.stride, UNIT, 1)
    return CONVOLVE[maps.dim() - 2](maps, weight, bias, convolution.stride, padding)


def instance_normalised(maps: Tensor, norm: nn.Module, slope: float | None) -> Tensor:
    """Maps ``(1, C, [Z,] Y, X)`` normalised by their own statistics and activated, in their place where possible.

    On processors by blocks that stay in the cache. torch itself would copy maps whose channels lie side by side; its
    statistics of a batch, which take them as they are, are sums of millions of numbers in single precision.

    Args:
        maps: of one image; overwritten.
        norm: instance normalisation with weights.
        slope: of the leaky ReLU below 0; None for none.
    """
    assert isinstance(norm, nn.InstanceNorm2d | nn.InstanceNorm3d)
    if maps.device.type == "meta":
        return maps  # nothing is taken beside them
    if maps.device.type != "cpu" or len(maps) > 1:
        normal: Tensor = norm(maps)
        return normal if slope is None else functional.leaky_relu_(normal, slope)
    maps = maps.contiguous(memory_format=LAYOUT[maps.dim() - 2])
    rows = maps.movedim(1, -1).view(-1, maps.shape[1])
    blocks = rows.split(max(1, BLOCK_VALUES // rows.shape[1]))
    mean = _mean(blocks, len(rows), lambda block: block)
    variance = _mean(blocks, len(rows), lambda block: (block - mean.float()).square_())
    scale = norm.weight.double() / (variance + norm.eps).sqrt()
    shift = (norm.bias.double() - mean * scale).float()
    for block in blocks:
        block.mul_(scale.float()).add_(shift)
        if slope is not None:
            functional.leaky_relu_(block, slope)
    return maps


def _mean(blocks: Sequence[Tensor], count: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean ``(C,)`` of something over all rows ``(N, C)``: short sums in single precision, these in double."""
    total = torch.zeros(blocks[0].shape[1], dtype=torch.float64)
    for block in blocks:
        total += torch.stack([part.sum(0) for part in of(block).split(SUMMED_ROWS)]).sum(0, dtype=torch.float64)
    return total / count
