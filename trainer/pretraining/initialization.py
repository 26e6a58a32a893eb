"""First weights from a model file instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model_file import load_model, read_manifest
from MultiTaskSegLib.runtime.network import Architecture, SegmentationNetwork
from trainer.config import TrainingConfig
from trainer.weight_standardization import WeightStandardization

Scope = Literal["all", "encoder"]
ENCODER_PARTS = ("encoder.", "down.")


def initial_weights(model_file: Path, architecture: Architecture, scope: Scope = "all") -> dict[str, Tensor]:
    """Weights of a model file to start a training from.

    The head is never among them: its channels belong to the tasks that the model was trained for.

    Args:
        model_file: any model file, also one that was pre-trained without labels.
        architecture: of the network to be trained.
        scope: ``all`` (encoder and decoder) or ``encoder``.

    Returns:
        Plain float32 weights by the names of `SegmentationNetwork`; for `take_over`.

    Raises:
        UsageError: there is no such scope.
        ModelError: the file is damaged, or its network has another dimension, depth, kernels or channels.
    """
    if scope not in get_args(Scope):
        raise UsageError(f"scope is {scope!r}", remedy=f"Use one of {', '.join(get_args(Scope))}")
    model = load_model(model_file)
    require_same_network(model.manifest.architecture, architecture, model_file)
    return {
        name: tensor
        for name, tensor in model.network.state_dict().items()
        if (scope == "all" and not name.startswith("head.")) or name.startswith(ENCODER_PARTS)
    }


def require_same_network(found: Architecture, wanted: Architecture, model_file: Path) -> None:
    """Check that weights of one network can be used in another with other tasks.

    Raises:
        ModelError: they cannot.
    """
    if is_planar(found) != is_planar(wanted):
        raise ModelError(
            f"the model to start from is {_dimension(found)}, the data are {_dimension(wanted)}",
            file=model_file,
            remedy="Start from a model of the same dimension",
        )
    for part in ("channels", "strides", "kernels"):
        have, need = getattr(found, part), getattr(wanted, part)
        if have != need:
            raise ModelError(
                f"the {part} of the model to start from are {have}, of the network to be trained {need}",
                file=model_file,
                remedy="Leave 'channels' out of the configuration to use the model's, or pre-train such a network",
            )


def config_for(model_file: Path, config: TrainingConfig) -> TrainingConfig:
    """The configuration, with the model's channels where it leaves them open.

    Raises:
        ModelError: the file is damaged.
    """
    if config.channels:
        return config
    return replace(config, channels=read_manifest(model_file)[0].architecture.channels)


def is_planar(architecture: Architecture) -> bool:
    """Whether the network looks at single slices only."""
    return all(kernel[0] == 1 for kernel in architecture.kernels)


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


def _dimension(architecture: Architecture) -> str:
    return "2-D" if is_planar(architecture) else "3-D"
