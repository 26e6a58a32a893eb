"""The whole of ``average``: the weights of a fine-tuned model, averaged with those that it was started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import Model, read_manifest
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.pretraining.initialization import initial_weights
from trainer.pretraining.known_head import known_rows
from trainer.refitting.descent import DESCENT
from trainer.refitting.recalibration import recalibrated
from trainer.refitting.spectral_refit import refit_of

AVERAGED = "averaged"
"""In the entry ``training``: name and digest of the model whose weights were taken in, and the share of its own."""
ANOTHER = "Give the model file that the fine-tuning was started from (finetune -m)"


def average_weights(
    model_path: Path,
    start_path: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    share: float = 0.5,
    images_of: Mapping[str, Path] | None = None,
    stream: TextIO | None = None,
) -> Manifest:
    """Write the model with weights between those before and after its fine-tuning.

    What a long fine-tuning gains on some tasks and loses on others is often had together in between: the two networks
    lie in one valley of the loss (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Temperatures,
    the Dice of held-out cases and the reference of the check are made anew, for every answer of the network is another.

    Args:
        model_path: the model that was fine-tuned.
        start_path: the model file that its training was started from.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        share: of the fine-tuned weights, between 0 and 1.
        images_of: as of `refit_reference`.
        stream: for progress; standard error by default.

    Raises:
        UsageError: the share is not between 0 and 1, or as `refit_reference`.
        ModelError: the training was not started from that file, or took no outputs or not all channels from it.
        DatasetError: as `refit_reference` and `refit_calibration`.
    """
    if not 0 < share < 1:
        raise UsageError(f"the share of the weights is {share:g}", remedy="Use a number between 0 and 1")
    predictor = Predictor.load(model_path)
    predictor.require_labels()
    model, device = _averaged(predictor.model, start_path, share), predictor.device.type
    measured = recalibrated(Predictor(model, device), directories, stream=stream)
    return refit_of(
        Predictor(replace(model, manifest=measured), device),
        directories,
        output,
        variant=model.manifest.ood.variant,
        layers=model.manifest.ood.layers,
        images_of=images_of,
        stream=stream,
    )


def _averaged(model: Model, start_path: Path, share: float) -> Model:
    """With other weights; temperatures and reference are still those of the model."""
    start, digest = read_manifest(start_path)
    _require_start(model.manifest, digest, start_path)
    head = known_rows(start, model.manifest.tasks)
    if head is None:
        raise ModelError(
            f"{start.name} does not have all tasks of {model.manifest.name}", file=start_path, remedy=ANOTHER
        )
    before = initial_weights(start_path, model.manifest.architecture, "all", head, model.manifest.stems)
    own = model.network.state_dict()
    if set(before) != set(own):
        raise ModelError(
            f"{start.name} does not know all channels of {model.manifest.name}", file=start_path, remedy=ANOTHER
        )
    network = SegmentationNetwork(model.manifest.architecture)
    network.load_state_dict({name: _between(before[name], own[name], share) for name in own})
    # Measured on the weights that are stored.
    network = network.half().float().eval()
    training = {key: value for key, value in model.manifest.training.items() if key not in DESCENT}
    training |= {AVERAGED: {"model": start.name, "sha256": digest, "share": share}}
    return replace(model, manifest=replace(model.manifest, training=training), network=network, digest="")


def _between(before: Tensor, after: Tensor, share: float) -> Tensor:
    return before.float() * (1 - share) + after.float() * share


def _require_start(manifest: Manifest, digest: str, start_path: Path) -> None:
    said = manifest.training.get("finetuning")
    said = said if isinstance(said, dict) else {}
    if said.get("sha256") != digest:
        raise ModelError(f"{manifest.name} was not fine-tuned from this file", file=start_path, remedy=ANOTHER)
    if said.get("scope") != "all" or said.get("head") is not True:
        raise ModelError(
            f"the training of {manifest.name} took only a part of the weights of this file",
            file=start_path,
            remedy="Use the model as it is",
        )
    if manifest.training.get(AVERAGED):
        raise ModelError(f"{manifest.name} is averaged already", remedy="Start from the model as it was trained")


def averaged_words(training: Mapping[str, Any]) -> str:
    """What the card says of it; nothing of a model that was not averaged, or whose note says something else.

    Args:
        training: entry of the manifest.

    >>> averaged_words({"averaged": {"model": "a", "sha256": "0", "share": 0.75}}), averaged_words({"averaged": 7})
    (', averaged with these (75 % its own)', '')
    """
    said = training.get(AVERAGED)
    share = said.get("share") if isinstance(said, dict) else None
    if not isinstance(share, float) or not 0 < share < 1:
        return ""
    return f", averaged with these ({100 * share:.0f} % its own)"
