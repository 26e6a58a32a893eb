"""Weights of a checkpoint put into the network that the plans ask for, each by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.nnunet.lean_layer import LAYOUT
from MultiTaskSegLib.runtime.nnunet.unet import Unet
from MultiTaskSegLib.runtime.nnunet.unet_plan import UnetPlan

# The same tensors under a second name: blocks keep their parts in a list, too, and the decoder knows the encoder.
DUPLICATE = re.compile(r"(^|\.)all_modules\.|^decoder\.encoder\.")
# Stages of plain encoders lie in a list of one.
WRAPPED = re.compile(r"^(encoder\.stages\.\d+)\.0\.(convs\.)")
SEGMENTATION = re.compile(r"^decoder\.seg_layers\.(\d+)\.")
SHOWN = 3
SHOWN_LETTERS = 100


def network_with_weights(
    plan: UnetPlan, channels: int, outputs: int, weights: Mapping[str, Tensor], name: str | Path
) -> Unet:
    """The network of a fold, ready to be run.

    Args:
        plan: its shape.
        channels: of the image.
        outputs: scores per voxel.
        weights: of `Checkpoint`.
        name: how errors call the file.

    Raises:
        ModelError: the weights are those of another network, or not finite.
    """
    network = empty_network(plan, channels, outputs)
    wanted = network.state_dict()
    found = _by_own_name(weights, stages=len(plan.features))
    differing = [
        key for key in sorted(wanted.keys() | found.keys())
        if key not in wanted or key not in found or wanted[key].shape != found[key].shape
    ]  # fmt: skip
    if differing:
        raise ModelError(
            f"the weights do not fit the plans: {_difference(differing, wanted, found)}",
            file=name,
            remedy="Take plans.json and checkpoint of one training; networks of other trainers are not supported",
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
        raise ModelError("the checkpoint has weights that are not finite", file=name, remedy="Train the fold again")
    return filled(network, {key: tensor.float().contiguous() for key, tensor in found.items()}, plan.dimension)


def filled(network: Unet, weights: Mapping[str, Tensor], dimension: int) -> Unet:
    """A network with its weights, by the names of `Unet`, ready to be run.

    Args:
        network: of `empty_network`.
        weights: all of them.
        dimension: of its patches.
    """
    network.load_state_dict(dict(weights), strict=True, assign=True)
    network.to(memory_format=LAYOUT[dimension])  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def empty_network(plan: UnetPlan, channels: int, outputs: int) -> Unet:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return Unet(plan, channels, outputs)


def _by_own_name(weights: Mapping[str, Tensor], stages: int) -> dict[str, Tensor]:
    """Weights by the names of `Unet`; without duplicates and the outputs of deep supervision."""
    named = {}
    for key, tensor in weights.items():
        if DUPLICATE.search(key):
            continue
        own = WRAPPED.sub(r"\1.\2", key)
        supervised = SEGMENTATION.match(own)
        if supervised is None:
            named[own] = tensor
        elif int(supervised.group(1)) == stages - 2:
            named[SEGMENTATION.sub("decoder.seg_layer.", own)] = tensor
    return named


def _difference(keys: list[str], wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    words = [f"{_shown(key)} is {_shape(found, key)} and should be {_shape(wanted, key)}" for key in keys[:SHOWN]]
    more = f", and {len(keys) - SHOWN} others" if len(keys) > SHOWN else ""
    return "; ".join(words) + more


def _shown(key: str) -> str:
    """A name out of the file, fit for a line of text."""
    return "".join(letter if letter.isprintable() else "?" for letter in key[:SHOWN_LETTERS])


def _shape(tensors: Mapping[str, Tensor], key: str) -> str:
    return " x ".join(map(str, tensors[key].shape)) if key in tensors else "missing"
