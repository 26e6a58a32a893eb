"""The whole of ``finetune``: train on from a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from MultiTaskSegLib.runtime.model.manifest import Manifest, stems_of
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from trainer.config import TrainingConfig
from trainer.data.dataset import datasets_with_masks
from trainer.data.planning import Plan
from trainer.data.provenance import NOBODY, Provenance
from trainer.pretraining.initialization import Scope, config_for, initial_weights
from trainer.pretraining.known_head import known_rows
from trainer.pretraining.unfreezing import Strategy, frozen_parts
from trainer.report.run_folder import RunFolder
from trainer.snapshot.cycle import require_cycles
from trainer.training.recipe import RELEASED, Recipe
from trainer.training.run_lock import run_held
from trainer.training.train_model import require_model_name, train_prepared
from trainer.training.training import Budget, prepare_data


def finetune(
    model_file: Path | None,
    directories: Sequence[Path],
    output: Path,
    config: TrainingConfig,
    budget: Budget,
    *,
    strategy: Strategy = "all",
    scope: Scope = "all",
    labelled_cases: Sequence[str] | int | None = None,
    resume: bool = False,
    stream: TextIO | None = None,
    cache: Path | None = None,
) -> Manifest:
    """Train on labelled cases, starting from a model file, and write an ordinary model file and its run folder.

    Args:
        model_file: where to start; None: random weights (the control), everything else alike.
        directories, output, config, budget, resume, stream: as for `trainer.training.train_model.train_model`.
        strategy: ``all``: every weight is trained; ``frozen-encoder``: the encoder stays as it is (but for the stems of
            channels that the model file does not know, which are always trained); ``last-layers``: only the finest
            decoder stage and the head; ``gradual``: from the head towards the encoder, one part after the other.
        scope: what is taken from the model file, all or the encoder.
        labelled_cases: of each dataset's training cases only these are used: names, or a number of cases drawn by
            ``config.seed`` (never from held-out groups); None: all.
        cache: folder for prepared cases that several runs share; None: one of this run's own.

    Groups that the model to start from has seen, or a model that it descends from, are never held out: figures,
    temperatures and the limit come from patients whom no training in the chain has seen.

    Raises:
        ModelError: the model's network does not fit, or its file does not say whom it has seen; no training has
            started.
        DatasetError: too few labelled cases, or more than there are, or the model has seen every group.
        UsageError: the training cannot leave so many snapshots.
        FolderIsHeld: another process trains there.
    """
    require_model_name(output)
    require_cycles(config, budget.steps, RELEASED if strategy == "gradual" else "")
    config = config if model_file is None else config_for(model_file, config)
    datasets = datasets_with_masks(directories, several=True)
    folder = RunFolder(output, cache)
    with run_held(folder, stream=stream):
        if not resume:
            folder.begin_anew()
        ancestors = NOBODY if model_file is None else Provenance.of(read_manifest(model_file)[0])
        data = prepare_data(datasets, config, folder, stream, labelled_cases, ancestors)
        recipe, said = start_from(model_file, data.plan, strategy, scope)
        return train_prepared(
            data, output, config, budget, recipe=recipe, said=said, ancestors=ancestors, resume=resume, stream=stream
        )


def start_from(
    model_file: Path | None, plan: Plan, strategy: Strategy = "all", scope: Scope = "all"
) -> tuple[Recipe, dict[str, Any]]:
    """Recipe of a fine-tuning, and what the manifest says about it.

    Raises:
        ModelError: the model's network does not fit.
        UsageError: unknown strategy or scope.
    """
    if model_file is None:
        frozen = frozen_parts(strategy, plan.architecture)
        said: dict[str, Any] = {"model": None, "strategy": strategy}
        return Recipe(frozen=frozen, identity={"finetuning": said}), {"finetuning": said}
    manifest, digest = read_manifest(model_file)
    head = known_rows(manifest, plan.tasks) if scope == "all" else None
    stems = stems_of([task.dataset.inputs for task in plan.tasks])
    fresh = [number for number, names in enumerate(stems) if names not in manifest.stems]
    frozen = frozen_parts(strategy, plan.architecture, fresh)
    weights = initial_weights(model_file, plan.architecture, scope, head, stems)
    said = {"model": manifest.name, "sha256": digest, "strategy": strategy, "scope": scope, "head": head is not None}
    if "pretraining" in manifest.training:
        said["pretraining"] = manifest.training["pretraining"]
    return Recipe(weights, frozen, identity={"finetuning": said}), {"finetuning": said}
