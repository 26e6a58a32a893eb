"""Scaled weight standardisation: what training uses instead of activation normalisation.

Brock, De & Smith, "Characterizing signal propagation to close the performance gap in unnormalized ResNets"
(ICLR 2021), equation 4. The standardised weights are baked into plain convolutions for the model file, so the
shipped network measures nothing over the tile.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork

# For unit variance after a (leaky) rectifier that is fed by a standard normal: 1 / sqrt(1/2 - 1/(2 pi)).
RECTIFIER_GAIN = 1.7139588594436646
MINIMUM_FAN_IN = 8


class WeightStandardization(nn.Module):
    """Weights with mean 0 and variance 1/fan-in per output channel, times a learnt gain."""

    def __init__(self, channels_out: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels_out, 1, 1, 1, 1), RECTIFIER_GAIN))

    def forward(self, weight: Tensor) -> Tensor:
        """``(C_out, C_in, kz, ky, kx)`` to the same shape."""
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3, 4), keepdim=True, correction=0)
        fan_in = weight[0].numel()
        return (weight - mean) * torch.rsqrt(variance * fan_in + 1e-8) * self.gain


def standardize_weights(network: SegmentationNetwork) -> None:
    """Put standardisation on every convolution but the head and those with almost no inputs (their mean is all)."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d) and name != "head" and module.weight[0].numel() >= MINIMUM_FAN_IN:
            parametrize.register_parametrization(module, "weight", WeightStandardization(module.out_channels))


def baked(network: SegmentationNetwork) -> SegmentationNetwork:
    """A new network with plain convolutions that computes the same function.

    The weights are copied one by one: removing a parametrisation from a deep copy would remove it from the class
    that original and copy share.
    """
    plain = SegmentationNetwork(network.architecture)
    sources = dict(network.named_modules())
    with torch.no_grad():
        for name, module in plain.named_modules():
            if isinstance(module, nn.Conv3d):
                source = sources[name]
                module.weight.copy_(source.weight)
                if module.bias is not None:
                    module.bias.copy_(source.bias)
    device = next(network.parameters()).device
    plain.to(device)
    plain.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stubs lack this form
    return plain.eval().requires_grad_(False)


def take_over(network: SegmentationNetwork, weights: Mapping[str, Tensor]) -> None:
    """Put plain weights into a network with standardised weights so that it computes the same function.

    Standardisation undoes any scale of the weights below it, so that scale is free: it stays that of fresh weights,
    because it decides how far a step of the optimiser turns them. A filter of zeros keeps its fresh weights and gets
    the gain 0.
    """
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name, tensor in weights.items():
            owner, _, kind = name.rpartition(".")
            module = modules[owner]
            if kind == "weight" and parametrize.is_parametrized(module, "weight"):
                _take_over_filter(module, tensor.to(network.head.weight.device))
            else:
                getattr(module, kind).copy_(tensor)


def _take_over_filter(module: nn.Module, plain: Tensor) -> None:
    """Choose gain and weights of which standardisation makes ``plain``."""
    parametrization = module.parametrizations.weight  # type: ignore[union-attr]
    standardization: WeightStandardization = parametrization[0]  # type: ignore[index, assignment]
    fresh: Tensor = parametrization.original  # type: ignore[union-attr, assignment]
    fan_in = plain[0].numel()
    deviation, mean = torch.std_mean(plain, dim=(1, 2, 3, 4), keepdim=True, correction=0)
    fresh_deviation = fresh.std(dim=(1, 2, 3, 4), keepdim=True, correction=0)
    empty = deviation == 0
    scaled = (plain - mean) / torch.where(empty, torch.ones_like(deviation), deviation) * fresh_deviation
    fresh.copy_(torch.where(empty, fresh, scaled))
    standardization.gain.copy_(deviation * fan_in**0.5)


def initialize(network: SegmentationNetwork, generator: torch.Generator) -> None:
    """He-normal weights and zero biases from an explicit generator."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
