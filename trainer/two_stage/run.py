"""Single runs of the matrix: one training each, with its figures on validation and test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import torch

from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from trainer.config import TrainingConfig
from trainer.data.provenance import Generation, record_generation, require_unseen
from trainer.experiment.run import shared_cache
from trainer.origin.terms import terms_of
from trainer.pretraining.pretext.catalogue import pretexts_named
from trainer.pretraining.pretext_companion import PretextCompanion, ViewBatches, finishing, pretext_companions
from trainer.report.run_folder import MODEL_SUFFIX, RunFolder, discard_checkpoints
from trainer.training.recipe import PLAIN, Recipe
from trainer.training.train_model import train_prepared
from trainer.training.training import Budget, train
from trainer.training.training_device import training_device
from trainer.two_stage.choice import Teacher, best_teacher, choose_teachers, class_weights
from trainer.two_stage.distillation import Distillation
from trainer.two_stage.examination import examine, figures
from trainer.two_stage.material import Material, read_material
from trainer.two_stage.settings import Settings, settings_from_plain
from trainer.two_stage.student_views import StudentViews

SCRATCH, LONG, JOINT, PRETRAINED, TOGETHER = "scratch", "scratch-long", "joint", "pretrained", "joint-all"
MODEL = f"model{MODEL_SUFFIX}"
LOG = "progress.log"


def train_one(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Train by one method and measure the result; goes on from a checkpoint in the folder.

    Args:
        parameters: ``method``, ``pretext`` (for `JOINT` and `PRETRAINED`), and what `read_material` needs.
        folder: of the run.
        inputs: none.
    """
    with (folder / LOG).open("a", encoding="utf-8") as log:
        metrics = _train_one(parameters, folder, log)
    discard_checkpoints(folder)
    return metrics


def distil(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Choose the teachers by validation Dice, train the student, and measure it, the teachers' average and the choice.

    Args:
        parameters: as for `train_one`; ``candidates``: run names of both modes by pretext task.
        folder: of the run.
        inputs: folders of the candidates.
    """
    with (folder / LOG).open("a", encoding="utf-8") as log:
        metrics = _distil(parameters, folder, inputs, log)
    discard_checkpoints(folder)
    return metrics


def _train_one(parameters: Mapping[str, Any], folder: Path, log: TextIO) -> dict[str, Any]:
    settings = settings_from_plain(parameters["settings"])
    material = read_material(parameters, settings, shared_cache(folder), log)
    method, pretext = parameters["method"], parameters.get("pretext", "")
    config, steps, device = settings.training, settings.two_stage.steps, training_device()
    if method == LONG:
        steps += settings.two_stage.pretraining_steps
    recipe = PLAIN
    if method in (JOINT, TOGETHER):
        names = (pretext,) if method == JOINT else settings.two_stage.pretext_names
        recipe = joint_recipe(names, material, settings)
    elif method == PRETRAINED:
        recipe = pretrained_recipe(pretext, material, settings, folder, device, log)
        config = _finetuning(config, settings)
    return _train_and_measure(parameters, folder, material, config, steps, recipe, log, device)


def _distil(parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path], log: TextIO) -> dict[str, Any]:
    settings = settings_from_plain(parameters["settings"])
    material = read_material(parameters, settings, shared_cache(folder), log)
    teachers = choose_teachers(parameters["candidates"], inputs, settings.two_stage.criterion)
    device = training_device()
    models = [_model_on(device, teacher.folder) for teacher in teachers]
    best = best_teacher(teachers)
    recipe = student_recipe(models, teachers, material, settings)
    if settings.two_stage.student_start == "best-teacher":
        # With its head: the student's tasks are the teacher's.
        recipe = replace(recipe, weights=models[teachers.index(best)].network.state_dict())
    steps = settings.two_stage.student_steps or settings.two_stage.steps
    material = replace(material, data=material.data_for_student)
    metrics = _train_and_measure(parameters, folder, material, settings.training, steps, recipe, log, device)
    metrics["ensemble"] = _examined(models, material, device)
    metrics["choice"] = {
        teacher.pretext: {"mode": teacher.mode, "run": teacher.run, "validation": teacher.scores}
        for teacher in teachers
    }
    metrics["best_teacher"] = {"pretext": best.pretext, "run": best.run}
    return metrics


def joint_recipe(names: tuple[str, ...], material: Material, settings: Settings) -> Recipe:
    """Segmentation and pretext tasks together: ``L_seg + λ L_aux``, one batch of each per step."""
    companions = _companions(names, material, settings, beside=True)
    return Recipe(companions=companions, identity={"joint": list(names), "auxiliary": settings.as_dict()["auxiliary"]})


def pretrained_recipe(
    name: str,
    material: Material,
    settings: Settings,
    folder: Path,
    device: torch.device,
    log: TextIO | None = None,
) -> Recipe:
    """Pre-train on a pretext task alone (or take up a finished pre-training), and start from its weights."""
    companions = _companions((name,), material, settings, beside=False)
    identity = {"pretraining": name, "images_per_step": settings.auxiliary.images_per_step}
    recipe = Recipe(companions=companions, supervised=False, identity=identity)
    run = RunFolder(folder / f"pretraining{MODEL_SUFFIX}")
    done = train(
        material.data,
        settings.training,
        Budget(steps=settings.two_stage.pretraining_steps),
        run,
        resume=True,
        device=device,
        stream=log,
        recipe=recipe,
    )
    network = done.averaged_network()
    finish = finishing(companions)
    if finish is not None:
        finish(network, device)
    return Recipe(weights=_without_head(network), identity={"pretrained": name})


def student_recipe(models: list[Model], teachers: list[Teacher], material: Material, settings: Settings) -> Recipe:
    """The supervised term on labelled images and the distillation term on all."""
    options = settings.two_stage
    pool = material.pool if options.distil_other_datasets else material.target_pool
    architecture = material.data.plan.architecture
    views = StudentViews(are_harder=options.student_views == "perturbed")
    batches = ViewBatches(pool, views, settings.training, architecture, settings.auxiliary.images_per_step)
    term = Distillation(
        [model.network for model in models],
        batches,
        options.distillation_weight,
        options.temperature,
        options.teacher_weights,
        class_weights(teachers, material.data.plan.tasks[0].label_names),
    )
    identity = {
        "teachers": [teacher.run for teacher in teachers],
        "digests": [model.digest for model in models],
        "options": settings.as_dict()["two_stage"],
    }
    return Recipe(companions=(term,), identity=identity)


def _companions(
    names: tuple[str, ...], material: Material, settings: Settings, *, beside: bool
) -> tuple[PretextCompanion, ...]:
    weight = settings.auxiliary.weight_at if beside else _alone
    return pretext_companions(
        pretexts_named(names),
        material.pool,
        settings.training,
        material.data.plan.architecture,
        settings.auxiliary.images_per_step,
        weight,
    )


def _alone(progress: float) -> float:
    """Weight of a loss that has no other beside it."""
    return 1.0


def _finetuning(config: TrainingConfig, settings: Settings) -> TrainingConfig:
    rate = settings.two_stage.finetuning_learning_rate
    return replace(config, learning_rate=rate) if rate else config


def _train_and_measure(
    parameters: Mapping[str, Any],
    folder: Path,
    material: Material,
    config: TrainingConfig,
    steps: int,
    recipe: Recipe,
    log: TextIO,
    device: torch.device,
) -> dict[str, Any]:
    output = folder / MODEL
    manifest = train_prepared(
        material.data,
        output,
        config,
        Budget(steps=steps),
        recipe=recipe,
        said={"two_stage": {"method": parameters["method"], **recipe.identity}},
        generation=generation_of(material),
        resume=True,
        device=device,
        stream=log,
    )
    model = _model_on(device, folder)
    require_unseen((*material.division.validation, *material.division.test), model.manifest)
    return {
        "steps": manifest.training["steps"],
        "minutes": manifest.training["minutes"],
        **_examined([model], material, device),
        "curve": [[r["step"], r["dice"][material.dataset.name]] for r in RunFolder(output).records() if "dice" in r],
    }


def _model_on(device: torch.device, folder: Path) -> Model:
    """The model of a run, with its network on a device."""
    model = load_model(folder / MODEL)
    model.network.to(device)
    return model


def _examined(models: Sequence[Model], material: Material, device: torch.device) -> dict[str, dict[str, Any]]:
    """Figures of one model, or of the average of several, on validation and test cases."""
    division = material.division
    parts = {"validation": division.validation, "test": division.test}
    return {part: figures(examine(models, material.dataset, cases, device)) for part, cases in parts.items()}


def generation_of(material: Material) -> Generation:
    """Whom the methods of a run see, all of them together: a teacher's knowledge reaches the student."""
    name = material.dataset.name
    pooled = [task.dataset for task in material.pool.tasks]
    pool = {
        task.name: [case.case for case in cases]
        for task, cases in zip(material.pool.tasks, material.pool.cases, strict=True)
    }
    return record_generation(
        MODEL.removesuffix(MODEL_SUFFIX),
        {name: material.division.labelled},
        pool,
        {name: material.division.validation},
        {dataset.name: terms_of(dataset) for dataset in (material.dataset, *pooled)},
    )


def _without_head(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("head.")}
