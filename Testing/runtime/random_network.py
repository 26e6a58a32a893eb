"""Networks of random weights in several shapes, for statements that must hold whatever a network has learnt."""

from __future__ import annotations

import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork

THICK_SLICES = Architecture(
    channels=(3, 4, 5), strides=((1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)), outputs=3
)
PLANAR = Architecture(
    channels=(3, 4, 5, 4), strides=((1, 2, 2),) * 3, kernels=((1, 3, 3), (1, 5, 5), (1, 3, 3), (1, 3, 3)), outputs=2
)
UNEVEN = Architecture(channels=(3, 4), strides=((2, 3, 1),), kernels=((3, 5, 3), (1, 3, 3)), outputs=4)
ARCHITECTURES = {"thick slices": THICK_SLICES, "planar": PLANAR, "uneven": UNEVEN}


def random_network(architecture: Architecture, seed: int = 11) -> SegmentationNetwork:
    """Weights that keep the size of the signal about constant, so that differences stay visible."""
    network = SegmentationNetwork(architecture)
    generator = torch.Generator().manual_seed(seed)
    for weights in network.parameters():
        fan_in = weights[0].numel() if weights.dim() > 1 else 25
        weights.data = torch.randn(weights.shape, generator=generator) * (1.5 / fan_in) ** 0.5
    return network.eval()
