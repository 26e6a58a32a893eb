"""Trained models in a results folder: which there are, and one of them with its folds' networks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.nnunet.checkpoint import Checkpoint, read_checkpoint
from MultiTaskSegLib.runtime.nnunet.plan_value import json_values
from MultiTaskSegLib.runtime.nnunet.plans import ModelPlan, model_plan
from MultiTaskSegLib.runtime.nnunet.results_source import ResultsSource
from MultiTaskSegLib.runtime.nnunet.unet import Unet
from MultiTaskSegLib.runtime.nnunet.unet_weights import network_with_weights

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
FOLD, ALL = "fold_", "all"
# What may differ between the plans in the folder and those in the checkpoint without changing a result.
COMPARED = (
    "configurations",
    "transpose_forward",
    "image_reader_writer",
    "foreground_intensity_properties_per_channel",
    "foreground_intensity_properties_by_modality",
)
NOT_COMPARED = ("data_identifier", "batch_size", "batch_dice", "median_image_size_in_voxels", "next_stage")


@dataclass(frozen=True)
class TrainedModel:
    """A model that was found: one trainer, plans and configuration, with its folds.

    Attributes:
        place: its folder, relative to the source.
        trainer, plans, configuration: as the folder's name tells; empty where it was renamed.
        checkpoints: the file of each fold by the fold's name: ``checkpoint_final.pth``, else ``checkpoint_best.pth``.
    """

    place: PurePosixPath
    trainer: str
    plans: str
    configuration: str
    checkpoints: dict[str, PurePosixPath]

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the folds: ``0`` to ``4``, ``all``."""
        return tuple(self.checkpoints)

    @property
    def usual_folds(self) -> tuple[str, ...]:
        """Those that nnU-Net takes where none is named: all numbered ones that are finished, else whatever there is."""
        numbered = tuple(fold for fold in self.folds if fold.isdecimal())
        finished = tuple(fold for fold in numbered if self.checkpoints[fold].name == CHECKPOINTS[0])
        return finished or numbered or self.folds


@dataclass(frozen=True)
class FoldNetwork:
    """The network of one fold.

    Attributes:
        fold: its name.
        network: in evaluation mode, float32, on the processor.
        checkpoint_name: of the file.
        epochs: that it was trained.
    """

    fold: str
    network: Unet
    checkpoint_name: str
    epochs: int


@dataclass(frozen=True)
class LoadedModel:
    """A model with what is needed to run it.

    Attributes:
        plan: what it is.
        trainer: name of the class that trained it.
        mirror_axes: along which results may be averaged over mirrored images.
        folds: its networks.
    """

    plan: ModelPlan
    trainer: str
    mirror_axes: tuple[int, ...]
    folds: tuple[FoldNetwork, ...]


def trained_models(source: ResultsSource) -> list[TrainedModel]:
    """All models in a folder or zip file, by place.

    Raises:
        ModelError: there is none.
    """
    files = source.files()
    known, by_place = set(files), defaultdict(list)
    for name in files:
        by_place[name.parent.parent].append(name)
    places = [name.parent for name in files if name.name == "plans.json" and name.with_name("dataset.json") in known]
    models = [_found(place, by_place[place]) for place in places]
    models = [model for model in models if model.checkpoints]
    if not models:
        missing = "no checkpoint_final.pth in a folder fold_..." if places else "no plans.json with a dataset.json"
        raise ModelError(
            f"there is no trained model of nnU-Net v2 ({missing})",
            file=source.path,
            remedy="Give the folder Trainer__Plans__Configuration, one above it, or the zip file that nnU-Net exports",
        )
    return models


def _found(place: PurePosixPath, files: Sequence[PurePosixPath]) -> TrainedModel:
    """The model in a folder, of whose folders these are the files."""
    words = place.name.split("__")
    trainer, plans, configuration = words if len(words) == 3 else ("", "", "")
    checkpoints: dict[str, PurePosixPath] = {}
    for wanted in CHECKPOINTS:
        for name in files:
            if name.name == wanted and name.parent.name.startswith(FOLD):
                checkpoints.setdefault(name.parent.name.removeprefix(FOLD), name)
    return TrainedModel(place, trainer, plans, configuration, dict(sorted(checkpoints.items())))


def load_trained_model(source: ResultsSource, model: TrainedModel, folds: Sequence[str] = ()) -> LoadedModel:
    """Read plans and networks of a model.

    Args:
        source: that it was found in.
        model: which.
        folds: names of those wanted; by default `TrainedModel.usual_folds`.

    Raises:
        UsageError: there is no such fold.
        ModelError: something is damaged, does not fit or is not supported.
    """
    wanted = tuple(folds) or model.usual_folds
    if unknown := [fold for fold in wanted if fold not in model.checkpoints]:
        raise UsageError(f"there is no fold {', '.join(unknown)}", remedy=f"Use one of {', '.join(model.folds)}")
    plans = json_values(source.text(model.place / "plans.json"), source.path / model.place / "plans.json")
    dataset = json_values(source.text(model.place / "dataset.json"), source.path / model.place / "dataset.json")
    checkpoints = {fold: _checkpoint(source, model.checkpoints[fold]) for fold in wanted}
    first = checkpoints[wanted[0]]
    plan = model_plan(plans, dataset, first.configuration)
    if any(axis >= plan.network.dimension for axis in first.mirror_axes):
        raise ModelError(
            "the checkpoint allows mirroring along an axis that its patches do not have",
            file=source.path / model.checkpoints[wanted[0]],
            remedy="Take plans.json and checkpoint of one training",
        )
    networks = []
    for fold, checkpoint in checkpoints.items():
        name = source.path / model.checkpoints[fold]
        _require_same_training(first, checkpoint, name)
        _require_own_plans(plans.values, checkpoint, name)
        channels, outputs = len(plan.structures.channels), plan.structures.outputs
        network = network_with_weights(plan.network, channels, outputs, checkpoint.weights, name)
        networks.append(FoldNetwork(fold, network, name.name, checkpoint.epochs))
    return LoadedModel(plan, first.trainer, first.mirror_axes, tuple(networks))


def _checkpoint(source: ResultsSource, name: PurePosixPath) -> Checkpoint:
    with source.open(name) as file:
        return read_checkpoint(file, source.path / name)


def _require_same_training(first: Checkpoint, other: Checkpoint, name: Path) -> None:
    """Folds of one model share their configuration, trainer and mirroring."""
    for what in ("configuration", "trainer", "mirror_axes"):
        if getattr(first, what) != getattr(other, what):
            raise ModelError(
                f"the folds are of different trainings ({what.replace('_', ' ')}: {getattr(first, what)} and "
                f"{getattr(other, what)})",
                file=name,
                remedy="Import them one by one with --folds",
            )


def _require_own_plans(plans: Mapping[str, Any], checkpoint: Checkpoint, name: Path) -> None:
    """The plans beside a checkpoint are those that it was trained with, as far as both tell."""
    for key in COMPARED:
        own = checkpoint.plans.get(key)
        beside = plans.get(key)
        if key == "configurations":
            own, beside = (_of(table, checkpoint.configuration) for table in (own, beside))
        if own is not None and _text(own) != _text(beside):
            raise ModelError(
                f"plans.json is not that of the training ({key} differs from what the checkpoint holds)",
                file=name,
                remedy="Put the plans.json of the training beside its folds",
            )


def _of(configurations: Any, name: str) -> Any:
    """What decides about results in a configuration; None where it is not told."""
    found = configurations.get(name) if isinstance(configurations, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    return {key: value for key, value in found.items() if key not in NOT_COMPARED}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
