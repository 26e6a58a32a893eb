"""First weights from a model file instead of random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.config import TrainingConfig
from trainer.pretraining.deepening import deepened, extends
from trainer.pretraining.unfreezing import stem_parts

Scope = Literal["all", "encoder"]
HEAD = "head."
ENCODER_PARTS = ("encoder.", "down.", "stems.")


def initial_weights(
    model_file: Path,
    architecture: Architecture,
    scope: Scope = "all",
    head: Sequence[int] | None = None,
    stems: Sequence[tuple[str, ...]] = ((),),
) -> dict[str, Tensor]:
    """Weights of a model file to start a training from.

    The head's channels belong to the tasks that the model was trained for: see `known_rows`.

    A network with further, coarser levels than the model's gets them so that it computes nearly the same, see
    `deepened`.

    Args:
        model_file: any model file, also one that was pre-trained without labels.
        architecture: of the network to be trained.
        scope: ``all`` (encoder and decoder) or ``encoder``.
        head: by output of the head to be trained, the model's output to begin with; None leaves the head out. Of
            ``all`` only.
        stems: by stem of the network to be trained, the names of the channels that it takes. A list of channels that
            the model does not know begins with random weights.

    Returns:
        Plain float32 weights by the names of `SegmentationNetwork`; for `weight_standardization.take_over`.

    Raises:
        UsageError: there is no such scope.
        ModelError: the file is damaged, or its network has another dimension, depth, kernels or channels.
    """
    if scope not in get_args(Scope):
        raise UsageError(f"scope is {scope!r}", remedy=f"Use one of {', '.join(get_args(Scope))}")
    model = load_model(model_file)
    found = model.manifest.architecture
    weights: dict[str, Tensor] = model.network.state_dict()
    if extends(architecture, found):
        weights = deepened(weights, found, architecture)
    else:
        require_same_network(found, architecture, model_file)
    weights = _with_stems(weights, model.manifest.stems, stems)
    if head is not None:
        weights |= {name: weights[name][list(head)] for name in weights if name.startswith(HEAD)}
    return {
        name: tensor
        for name, tensor in weights.items()
        if (scope == "all" and (head is not None or not name.startswith(HEAD))) or name.startswith(ENCODER_PARTS)
    }


def _with_stems(
    weights: dict[str, Tensor], found: Sequence[tuple[str, ...]], wanted: Sequence[tuple[str, ...]]
) -> dict[str, Tensor]:
    """The same weights with each stem in the place where the network to be trained has it; others are left out."""
    places = {names: number for number, names in enumerate(found)}
    known = [stem_parts(number) for number in range(len(found))]
    every = tuple(prefix for prefixes in known for prefix in prefixes)
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(every)}
    for number, names in enumerate(wanted):
        if names in places:
            for old, new in zip(known[places[names]], stem_parts(number), strict=True):
                kept |= {new + n.removeprefix(old): tensor for n, tensor in weights.items() if n.startswith(old)}
    return kept


def require_same_network(found: Architecture, wanted: Architecture, model_file: Path) -> None:
    """Check that weights of one network can be used in another with other tasks.

    Raises:
        ModelError: they cannot.
    """
    if found.is_planar != wanted.is_planar:
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


def _dimension(architecture: Architecture) -> str:
    return "2-D" if architecture.is_planar else "3-D"
