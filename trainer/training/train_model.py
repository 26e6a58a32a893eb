"""The whole of ``train``: folders in, model file and run folder out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from trainer.config import TrainingConfig, require_known_datasets
from trainer.data.dataset import datasets_with_masks
from trainer.data.provenance import KEY, NOBODY, Generation, Provenance, record_generation
from trainer.distributed.ranks import ALONE, Ranks
from trainer.measuring.plan import MeasuringPlan
from trainer.origin.terms import terms_of
from trainer.report.curves import training_figure
from trainer.report.note import write_note
from trainer.report.progress import duration_text
from trainer.report.report import Report
from trainer.report.run_folder import MODEL_SUFFIX, RunFolder
from trainer.report.run_progress import RunProgress
from trainer.snapshot.cycle import cycle_count, require_cycles
from trainer.snapshot.member_store import Member, MemberStore
from trainer.snapshot.snapshot_model import write_snapshot_models
from trainer.training.finishing import write_model
from trainer.training.measuring import plan_measuring
from trainer.training.planned_manifest import require_storable
from trainer.training.recipe import PLAIN, Recipe
from trainer.training.run_identity import require_same_run, run_identity
from trainer.training.run_lock import run_held
from trainer.training.training import Budget, PreparedData, prepare_data, train
from trainer.training.training_device import training_device
from trainer.training.weight_standardization import initialize

# Less is not worth a word.
TOLD_FROM_S = 60.0


def train_model(
    directories: Sequence[Path],
    output: Path,
    config: TrainingConfig,
    budget: Budget,
    *,
    resume: bool = False,
    stream: TextIO | None = None,
    ranks: Ranks = ALONE,
) -> Manifest:
    """Train one network on all datasets and write the model file and its run folder.

    Args:
        directories: nnU-Net v2 raw or MSD dataset folders.
        output: model file, ``NAME.mts.safetensors``; the run folder is ``NAME.run`` beside it.
        config: settings.
        budget: steps or minutes.
        resume: go on from the run folder's checkpoint.
        stream: for progress; standard error by default.
        ranks: the processes of the training, which see the same files; all but the first one write nothing.

    Raises:
        UsageError: the output's name has another ending, a dataset to be mirrored is not there, or the training cannot
            leave so many snapshots.
        FolderIsHeld: another process trains there.
        DatasetError, InputError, ModelError, ResourceError: as said there.
    """
    require_model_name(output)
    require_cycles(config, budget.steps)
    datasets = datasets_with_masks(directories, several=True)
    require_known_datasets(config, [dataset.name for dataset in datasets])
    folder = RunFolder(output)
    with run_held(folder, ranks, stream):
        resume = ranks.agreed(lambda: goes_on(folder, resume, ranks, stream))
        data = prepare_data(datasets, config, folder, stream, ranks=ranks)
        return train_prepared(data, output, config, budget, resume=resume, stream=stream, ranks=ranks)


def goes_on(folder: RunFolder, resume: bool, ranks: Ranks, stream: TextIO | None = None) -> bool:
    """Whether the run goes on from its checkpoint: it was asked to, or it was restarted; otherwise it begins anew.

    Processes that are restarted before they were here find nothing of theirs, but perhaps an earlier run.

    Args:
        folder: of the run; what an earlier one left there is put aside.
        resume: whether it was asked to.
        ranks: the processes of the training.
        stream: for progress.

    Raises:
        ResourceError: a file cannot be read, moved or written.
    """
    if not resume and ranks.may_go_on and not ranks.run_names.isdisjoint(folder.run_names()):
        write_note("the run was restarted and goes on from its last checkpoint", stream)
        resume = True
    if not resume:
        folder.begin_anew()
    folder.keep_run_names(ranks.run_names)
    return resume


def require_model_name(output: Path) -> None:
    """Check a model file's ending.

    Raises:
        UsageError: it is another one.
    """
    if not output.name.endswith(MODEL_SUFFIX):
        raise UsageError(f"the model file's name must end in {MODEL_SUFFIX}", file=output, remedy="Correct -o")


def train_prepared(
    data: PreparedData,
    output: Path,
    config: TrainingConfig,
    budget: Budget,
    *,
    recipe: Recipe = PLAIN,
    said: Mapping[str, Any] | None = None,
    ancestors: Provenance = NOBODY,
    generation: Generation | None = None,
    resume: bool = False,
    device: torch.device | None = None,
    stream: TextIO | None = None,
    ranks: Ranks = ALONE,
) -> Manifest:
    """Train on prepared data and write the model file and its run folder.

    Args:
        data: plan and cases.
        output, config, budget, resume, stream, ranks: as for `train_model`.
        recipe: departures from plain supervised training.
        said: in the manifest's ``training``, beside what is always said there.
        ancestors: whom the model has seen that the recipe's weights come from.
        generation: whom this training sees; None: as ``data`` says.
        device: where to compute; None: `training_device`.

    Raises:
        UsageError: no model file could hold what would be trained, or the training cannot leave so many snapshots.
        DatasetError, InputError, ModelError, ResourceError: as said there.
    """
    require_cycles(config, budget.steps, recipe.undivided)
    seen = Provenance((generation or generation_of(data, output, recipe), *ancestors.generations)).as_list()
    facts = {KEY: seen, **(said or {})}
    require_storable(data.plan, config, output.name.removesuffix(MODEL_SUFFIX), facts)
    folder = RunFolder(output)
    asked = {"config": config.as_dict(), "budget": [budget.steps, budget.minutes]}
    require_same_run(run_identity(data.plan, data.sides, config, recipe), asked, ranks)
    device = device or training_device()
    plan = _expected(data, config, device, ranks)
    if budget.minutes is not None:
        _tell_excess(plan, 60 * budget.minutes, stream)
    progress = RunProgress(stream, after=plan.seconds)
    network, steps, precision, members = _trained(
        data, config, budget, folder,
        resume=resume, device=device, recipe=recipe, progress=progress, stream=stream, ranks=ranks,
    )  # fmt: skip
    training_s = ranks.agreed(lambda: float(folder.records()[-1]["elapsed_s"]))
    if budget.minutes is None:
        _tell_excess(plan, training_s, stream)
    run = {"config": config.as_dict(), "steps": steps, "minutes": round(training_s / 60, 1), "device": device.type}
    run |= {"precision": precision}
    manifest = write_model(
        data, network, config, output, run | facts,
        device=device, plan=plan, training_s=training_s, progress=progress, ranks=ranks,
    )  # fmt: skip
    if ranks.rank == 0:
        _write_snapshots(output, folder, members, config, stream)
        _write_report(folder, manifest)
    progress.finish()
    return manifest


def _expected(data: PreparedData, config: TrainingConfig, device: torch.device, ranks: Ranks) -> MeasuringPlan:
    """What will follow the training, by a trial with fresh weights."""
    if config.threads:
        torch.set_num_threads(config.threads)
    network = SegmentationNetwork(data.plan.architecture)
    initialize(network, torch.Generator().manual_seed(config.seed))
    return plan_measuring(data, network.eval().requires_grad_(False).to(device), config, device, ranks)


def _tell_excess(plan: MeasuringPlan, training_s: float, stream: TextIO | None) -> None:
    """Say of a short training that measuring takes more of the time than was asked for, as soon as that is known."""
    seconds = plan.seconds(training_s)
    if plan.exceeds_share(training_s) and seconds >= TOLD_FROM_S:
        write_note(
            f"measuring takes about {duration_text(seconds)} beside {duration_text(training_s)} of training, more than "
            "measuring_share: temperatures and check need the least number of cases, however short the training is",
            stream,
        )


def _trained(
    data: PreparedData, config: TrainingConfig, budget: Budget, folder: RunFolder, *, recipe: Recipe, **how: Any
) -> tuple[SegmentationNetwork, int, str, list[Member]]:
    """Averaged weights, number of steps, their precision and the snapshots; all else is free when this returns."""
    optimization = train(data, config, budget, folder, recipe=recipe, **how)
    network = optimization.averaged_network()
    if recipe.finish is not None:
        recipe.finish(network, optimization.device)
    return network, optimization.step, optimization.config.precision, optimization.members


def _write_snapshots(
    output: Path, folder: RunFolder, members: Sequence[Member], config: TrainingConfig, stream: TextIO | None
) -> None:
    """As model files; a word where a training by the clock had cycles without a step of their own."""
    cycles = cycle_count(config)
    if cycles == 1:
        return
    paths = write_snapshot_models(output, MemberStore(folder.snapshots), members, cycles)
    note = f"snapshots: {len(paths)} beside the model, in {folder.snapshots}"
    if len(paths) < cycles - 1:
        note += f", of {cycles - 1} that were wanted: the others' cycles were shorter than a step"
    write_note(note, stream)


def generation_of(data: PreparedData, output: Path, recipe: Recipe = PLAIN) -> Generation:
    """Whom a training on prepared data sees: later trainings and evaluations never measure on them."""
    names = [task.name for task in data.plan.tasks]
    training, held_out, unlabelled = (
        {name: [case.case for case in cases] for name, cases in zip(names, side, strict=False)}
        for side in (data.training, data.held_out, data.unlabelled)
    )
    model = output.name.removesuffix(MODEL_SUFFIX)
    terms = {task.name: terms_of(task.dataset) for task in data.plan.tasks}
    if recipe.uses_labels:
        return record_generation(model, training, unlabelled, held_out, terms)
    return record_generation(model, {}, training, held_out, terms)


def measured_text(measured: Mapping[str, Mapping[str, Sequence[int]]]) -> str:
    """Which share of the cases the figures and the check come from, in words.

    Args:
        measured: by task, numbers measured and present of ``held_out`` and ``known`` cases.
    """
    sampled = {task: own for task, own in measured.items() if any(n < of for n, of in own.values())}
    if not sampled:
        return "All cases were measured."
    parts = [
        f"{task}: {own['held_out'][0]} of {own['held_out'][1]} held-out cases, {own['known'][0]} of {own['known'][1]} "
        "known images for the check"
        for task, own in sampled.items()
    ]
    return (
        "To keep measuring short beside the training, cases were left out evenly over patients. "
        + "; ".join(parts)
        + ". With measuring_share = 0 all of them are measured."
    )


def _write_report(folder: RunFolder, manifest: Manifest) -> None:
    figures = {
        task.name: {"dice": task.held_out_dice, "temperature": task.temperature, "calibration": task.calibration}
        for task in manifest.tasks
    }
    measured = manifest.training["measured"]
    folder.write_json(
        "metrics.json", {"tasks": figures, "ood": manifest.ood.false_alarm_rate_by_task, "measured": measured}
    )
    report = Report(f"Training of {manifest.name}")
    words = "Loss, learning rate, and, to watch the training, Dice of a few held-out cases on the network's grid"
    report.add_figure(training_figure(folder.records()), words)
    rows: list[list[str | float | int | None]] = [
        [t.name, label, value, t.temperature, t.calibration.get("ece"), manifest.ood.false_alarm_rate_by_task[t.name]]
        for t in manifest.tasks
        for label, value in t.held_out_dice.items()
    ]
    report.add_table(
        ["Task", "Label", "Held-out Dice", "Temperature", "ECE", "False alarms"],
        rows,
        "Groups that were not trained on, segmented as by the finished model and compared on each image's own grid",
    )
    report.add_text(measured_text(measured))
    report.add_text(model_card(manifest, "in the model file").replace("\n", "\n\n"))
    report.write(folder.report)
