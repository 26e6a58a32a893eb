"""One convolution with fixed weights, by the fastest way that this torch has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import prod

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import Triple

UNIT: Triple = (1, 1, 1)
# Of sums of 54 products of numbers up to 1 that are rounded to 8 bits.
ROUGH_TOLERANCE = 0.1
Direct = Callable[..., Tensor]


@dataclass(frozen=True)
class Convolution:
    """Weights and bias of one convolution, its step, and its padding in the plane and along z."""

    weight: Tensor
    bias: Tensor
    stride: Triple
    padding: Triple

    def __call__(self, x: Tensor, pad_z: bool = True) -> Tensor:
        """Convolve ``(1, C, Z, Y, X)``."""
        padding = self.padding if pad_z else (0, *self.padding[1:])
        direct = direct_convolution(x.dtype) if x.device.type == "cpu" else None
        if direct is not None:
            return direct(x, self.weight, self.bias, padding, self.stride, UNIT, 1)
        return nn.functional.conv3d(x, self.weight, self.bias, self.stride, padding)


@cache
def direct_convolution(dtype: torch.dtype = torch.float32) -> Direct | None:
    """oneDNN's convolution, asked for by name; None where this torch does not have it, or it computes something else.

    Args:
        dtype: of image and weights; processors do not have it for every one.

    Left to itself, torch takes another way for small maps, which is several times slower and takes many times the
    memory. The name is no promise of torch, so it is tried on a small map before it is used.
    """
    direct: Direct | None = getattr(torch, "mkldnn_convolution", None)
    if direct is None or not torch.backends.mkldnn.is_available():
        return None
    values = torch.linspace(-1.0, 1.0, 2 * 4 * 5 * 6).reshape(1, 2, 4, 5, 6)
    weight, bias = torch.linspace(-1.0, 1.0, 3 * 2 * 27).reshape(3, 2, 3, 3, 3), torch.tensor([0.5, -1.0, 2.0])
    stride, padding = (1, 2, 2), (0, 1, 1)
    try:
        found = direct(values.to(dtype), weight.to(dtype), bias.to(dtype), padding, stride, UNIT, 1)
    except (RuntimeError, TypeError):
        return None
    expected = nn.functional.conv3d(values, weight, bias, stride, padding)
    tolerance = 1e-4 if dtype == torch.float32 else ROUGH_TOLERANCE
    agrees = found.shape == expected.shape and torch.allclose(found.float(), expected, atol=tolerance)
    return direct if agrees else None


class Route(Enum):
    """How a library goes about a convolution, as far as it takes memory beside input and output."""

    DIRECT = "direct"
    UNFOLDED = "unfolded"
    COPIED = "copied"


def route_of(device: torch.device) -> Route:
    """How convolutions are computed on a device."""
    if device.type != "cpu":
        return Route.COPIED
    return Route.UNFOLDED if direct_convolution() is None else Route.DIRECT


def scratch_bytes(route: Route, x: Tensor, weight: Tensor, result: Tensor) -> int:
    """What a convolution takes while it runs, beside input and output (measured on processors, assumed on cards).

    oneDNN copies the result where the input has one channel. Torch's own way writes the neighbourhood of every voxel
    side by side. Libraries of cards may want another order of the axes. Copies of the weights, a few megabytes, are
    left out.
    """
    if route is Route.DIRECT:
        return result.nbytes if weight.shape[1] == 1 else 0
    copies = x.nbytes + result.nbytes
    if route is Route.COPIED:
        return copies
    return copies + prod(weight.shape[1:]) * prod(result.shape[2:]) * result.element_size()


def fixed_convolution(module: nn.Module, device: torch.device, scale: float = 1.0) -> Convolution:
    """The weights of a module, copied to a device, times a number."""
    assert isinstance(module, nn.Conv3d)
    assert module.bias is not None
    weight = (module.weight.detach() * scale).to(device).contiguous(memory_format=torch.channels_last_3d)
    bias = (module.bias.detach() * scale).to(device)
    return Convolution(weight, bias, _triple(module.stride), _triple(module.padding))


def plain_module(convolution: Convolution) -> nn.Conv3d:
    """A module with the same weights, without padding along z."""
    channels_out, channels_in, z, y, x = convolution.weight.shape
    module = nn.Conv3d(channels_in, channels_out, (z, y, x), padding=(0, *convolution.padding[1:]))
    module.weight = nn.Parameter(convolution.weight, requires_grad=False)
    module.bias = nn.Parameter(convolution.bias, requires_grad=False)
    return module


def _triple(values: object) -> Triple:
    assert isinstance(values, tuple)
    z, y, x = values
    return z, y, x
