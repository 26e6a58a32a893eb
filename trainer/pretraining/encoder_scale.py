"""An encoder that was pre-trained alone hands its feature maps over at the scale that a fresh decoder expects.

Without activation normalisation nothing holds the scale of feature maps but the loss, and the losses of tasks on the
deepest map hold it loosely: that of a contrastive task, which compares directions, not at all. A decoder that has never
seen such maps would begin with activations that are wrong by orders of magnitude. Since the rectifier is homogeneous,
every layer's scale can be chosen freely without changing what the encoder computes (Neyshabur, Salakhutdinov & Srebro,
"Path-SGD", NeurIPS 2015); here it becomes that of a fresh network on the same images, as in data-dependent
initialisation (Mishkin & Matas, "All you need is a good init", ICLR 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from trainer.training.weight_standardization import baked, initialize, standardize_weights


def rescale_encoder(network: SegmentationNetwork, images: Tensor, device: torch.device) -> None:
    """Give every layer of the encoder the scale it has in a fresh network.

    Afterwards each encoder map is what it was, times a positive factor of its level; the decoder is left as it is.

    Args:
        network: plain weights on ``device``, changed in place.
        images: float32 ``(B, 1, Z, Y, X)`` to measure on; sides are multiples of the total stride.
        device: where to compute.
    """
    fresh = SegmentationNetwork(network.architecture)
    # Any fresh weights will do: it is their scale that counts.
    initialize(fresh, torch.Generator().manual_seed(0))
    standardize_weights(fresh)
    shown = images.to(device)
    wanted, found = layer_scales(baked(fresh).to(device), shown), layer_scales(network, shown)
    factor = {name: wanted[name] / found[name] if found[name] > 0 else 1.0 for name in found}
    with torch.no_grad():
        for level, stage in enumerate(network.encoder):
            into = 1.0
            if level:
                into = factor[f"down.{level - 1}"]
                _rescale(network.down[level - 1], factor[f"encoder.{level - 1}"], into)
            inner, out = factor[f"encoder.{level}.first"], factor[f"encoder.{level}"]
            _rescale(stage.first, into, inner)
            _rescale(stage.second, inner, out)
            _rescale(stage.shortcut, into, out)


def layer_scales(network: SegmentationNetwork, images: Tensor) -> dict[str, float]:
    """Root mean square of what each layer of the encoder gives, by module name.

    Args:
        network: any.
        images: ``(B, 1, Z, Y, X)`` on the network's device.
    """
    scales: dict[str, float] = {}

    def note(name: str) -> object:
        """A hook that measures a module's output."""
        return lambda module, given, output: scales.__setitem__(name, float(output.square().mean().sqrt()))

    names = [f"encoder.{level}" for level in range(len(network.encoder))]
    names += [f"{name}.first" for name in names] + [f"down.{level}" for level in range(len(network.down))]
    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(note(name)) for name in names]
    with torch.no_grad():
        network.encoder_features(images, len(network.encoder))
    for handle in handles:
        handle.remove()
    return scales


def _rescale(layer: nn.Module | Tensor, factor_in: float, factor_out: float) -> None:
    """Make a layer answer ``factor_out`` times as much to what has become ``factor_in`` times as large."""
    assert isinstance(layer, nn.Conv3d)
    assert layer.bias is not None
    layer.weight.mul_(factor_out / factor_in)
    layer.bias.mul_(factor_out)
