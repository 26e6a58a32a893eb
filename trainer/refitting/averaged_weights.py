"""The whole of ``average``: the weights of a fine-tuned model, averaged with those that it was started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import Model, read_manifest
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.pretraining.deepening import extends
from trainer.pretraining.initialization import initial_weights
from trainer.pretraining.known_head import known_rows
from trainer.refitting.descent import DESCENT, MEASURED, digests_in
from trainer.refitting.kept_tasks import LEFT_OUT, require_images
from trainer.refitting.output_place import OutputPlace
from trainer.refitting.recalibration import recalibrated
from trainer.refitting.spectral_refit import refit_of, require_standing_in
from trainer.snapshot.snapshot_model import KEY as SNAPSHOT

AVERAGED = "averaged"
"""In the entry ``training``: name and digest of the model whose weights were taken in, and the share of its own."""
ANOTHER = "Give the model file that the fine-tuning was started from (finetune -m)"
AS_IT_IS = "Use the model as it is"


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
        start_path: the model file that its training was started from, or one with the same weights that was made of it.
        directories: one folder per task of the model, with the task's name.
        output: model file to write; may be ``model_path``.
        share: of the fine-tuned weights, between 0 and 1.
        images_of: as of `refit_reference`.
        stream: for progress; standard error by default.

    Raises:
        UsageError: the output is the start file, the share is not between 0 and 1, or so near to one of them that the
            stored weights are those of one of the two, the check of a task knows other images than its own, which are
            not given, or as `refit_reference`.
        ModelError: the training was not started from that file, or took no outputs, not all channels or not all levels
            from it.
        DatasetError: as `refit_reference` and `refit_calibration`.
    """
    if not 0 < share < 1:
        raise UsageError(f"the share of the weights is {share:g}", remedy="Use a number between 0 and 1")
    if _is_same_file(output, start_path):
        raise UsageError(
            "the average would replace the model that the fine-tuning was started from",
            file=output,
            remedy="Give another output: without that file no other share could be tried",
        )
    place = OutputPlace.of(output)
    # Weights of two files meet in the processor's memory, wherever the average is measured.
    trained = Predictor.load(model_path, "cpu")
    trained.require_labels()
    manifest, given = trained.manifest, images_of or {}
    require_images(manifest, [task.name for task in manifest.tasks], given)
    require_standing_in(manifest, given)
    model = _averaged(trained.model, start_path, share)
    measured = recalibrated(Predictor(model), directories, stream=stream)
    return refit_of(
        Predictor(replace(model, manifest=measured)),
        directories,
        place,
        variant=manifest.ood.variant,
        layers=manifest.ood.layers,
        images_of=given,
        stream=stream,
    )


def _averaged(model: Model, start_path: Path, share: float) -> Model:
    """With other weights; temperatures and reference are still those of the model."""
    start, digest = read_manifest(start_path)
    _require_start(model.manifest, start, digest, start_path)
    head = known_rows(start, model.manifest.tasks)
    if head is None:
        raise ModelError(
            f"{start.name} does not have all tasks of {model.manifest.name}", file=start_path, remedy=ANOTHER
        )
    if extends(model.manifest.architecture, start.architecture):
        raise ModelError(
            f"the training of {model.manifest.name} added levels to the network of this file",
            file=start_path,
            remedy=AS_IT_IS,
        )
    before = initial_weights(start_path, model.manifest.architecture, "all", head, model.manifest.stems)
    own = model.network.state_dict()
    if set(before) != set(own):
        raise ModelError(
            f"{start.name} does not know all channels of {model.manifest.name}", file=start_path, remedy=AS_IT_IS
        )
    network = SegmentationNetwork(model.manifest.architecture)
    network.load_state_dict({name: _between(before[name], own[name], share) for name in own})
    # Measured on the weights that are stored.
    network = network.half().float().eval()
    for name, weights in ((start.name, before), (model.manifest.name, own)):
        if all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items()):
            raise UsageError(
                f"with a share of {share:g} the stored weights are those of {name}",
                remedy="Use a share nearer to one half, or that model as it is",
            )
    training = _training(model.manifest) | {AVERAGED: {"model": start.name, "sha256": digest, "share": share}}
    return replace(model, manifest=replace(model.manifest, training=training), network=network, digest="")


def _training(manifest: Manifest) -> dict[str, object]:
    """The entry without what was measured with the weights before, and without what says of them which they are."""
    training = {k: v for k, v in manifest.training.items() if k not in (*DESCENT, SNAPSHOT, MEASURED)}
    left = training.get(LEFT_OUT)
    return training | {LEFT_OUT: {name: {} for name in left}} if isinstance(left, dict) else training


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file; some file systems take names for one that differ in case alone."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _between(before: Tensor, after: Tensor, share: float) -> Tensor:
    return before.float() * (1 - share) + after.float() * share


def _require_start(manifest: Manifest, start: Manifest, digest: str, start_path: Path) -> None:
    said = manifest.training.get("finetuning")
    said = said if isinstance(said, dict) else {}
    same = (digest, *(one for key in DESCENT for one in digests_in(start.training, key)))
    if said.get("sha256") not in same:
        raise ModelError(f"{manifest.name} was not fine-tuned from this file", file=start_path, remedy=ANOTHER)
    if said.get("scope") != "all" or said.get("head") is not True:
        raise ModelError(
            f"the training of {manifest.name} took only a part of the weights of this file",
            file=start_path,
            remedy=AS_IT_IS,
        )
    if manifest.training.get(AVERAGED):
        raise ModelError(f"{manifest.name} is averaged already", remedy="Start from the model as it was trained")
