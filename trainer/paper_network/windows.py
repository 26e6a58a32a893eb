"""Inference as published: overlapping windows, whose probabilities and feature maps are averaged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.network.architecture import Triple
from trainer.paper_network.dense_network import DenseNetwork
from trainer.paper_network.patches import window_size
from trainer.paper_network.settings import PaperSettings

Floats = NDArray[np.float32]


@torch.inference_mode()
def averaged(
    network: DenseNetwork, voxels: Floats, settings: PaperSettings, device: torch.device
) -> tuple[Floats, Floats]:
    """Probabilities and feature maps of a prepared image.

    Args:
        network: on ``device``; dropout is off when this returns.
        voxels: ``(Z, Y, X)``.
        settings: size and step of the windows.
        device: where to compute.

    Returns:
        Probabilities ``(2, Z, Y, X)``, background first, and the later half of the channels of the decoder's last stage
        ``(C, Z, Y, X)``, which the published check looks at.
    """
    network.eval()
    z, y, x = voxels.shape
    size = window_size((z, y, x), settings.patch, network.architecture.total_stride)
    # A window may be larger than the image by what the stride asks for.
    padded = np.pad(voxels, [(0, max(0, length - n)) for length, n in zip(size, voxels.shape, strict=True)])
    outputs, channels = network.architecture.outputs, network.architecture.channels[0]
    shares, maps = (np.zeros((count, *padded.shape), dtype=np.float32) for count in (outputs, channels))
    visits = np.zeros(padded.shape, dtype=np.float32)
    for place in windows(padded.shape, size, settings.window_step):
        block = torch.from_numpy(np.ascontiguousarray(padded[place]))[None, None].to(device)
        features, everywhere = network.features(block)["decoder0"], (slice(None), *place)
        shares[everywhere] += torch.softmax(network.head(features), dim=1)[0].cpu().numpy()
        maps[everywhere] += features[0, -channels:].cpu().numpy()
        visits[place] += 1.0
    shares /= visits
    maps /= visits
    return shares[:, :z, :y, :x], maps[:, :z, :y, :x]


def windows(shape: tuple[int, ...], size: Triple, step: float) -> Iterator[tuple[slice, ...]]:
    """Places of windows that cover a shape; the last one along each axis ends where the shape does."""
    by_axis = [starts(n, length, max(1, round(step * length))) for n, length in zip(shape, size, strict=True)]
    for corner in product(*by_axis):
        yield tuple(slice(first, first + length) for first, length in zip(corner, size, strict=True))


def starts(length: int, window: int, step: int) -> list[int]:
    """First voxels of windows along an axis.

    >>> starts(150, 96, 24), starts(96, 96, 24)
    ([0, 24, 48, 54], [0])
    """
    last = length - window
    return [*range(0, last, step), last]
