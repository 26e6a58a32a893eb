"""Trainings of four kinds that take seconds, and a way to cut one after any step."""

from __future__ import annotations

import io
from pathlib import Path
from unittest import mock

import torch

from Testing.hostile.campaign.trial import Broken, Ground
from Testing.runtime.random_network import random_network
from Testing.trainer.pretraining.tiny_run import BALLS, CONFIG
from trainer.data.dataset import read_dataset
from trainer.pretraining.finetune import start_from
from trainer.pretraining.pretext.catalogue import PRETEXTS
from trainer.pretraining.pretext_companion import ImagePool, ViewBatches, pretext_companions
from trainer.pretraining.pretrain import pretrain
from trainer.report.run_folder import RunFolder
from trainer.training import training
from trainer.training.optimization import Optimization
from trainer.training.recipe import PLAIN, Recipe
from trainer.training.training import Budget, PreparedData, prepare_data, train
from trainer.two_stage.distillation import Distillation
from trainer.two_stage.student_views import StudentViews

KINDS = ("multi-task", "transfer", "pretext tasks", "distillation")
STEPS = 11
CPU = torch.device("cpu")
BALL = BALLS["2-D"]
IMAGES_PER_STEP = 3


class PowerCut(Exception):
    """The run ends without warning."""


def prepared(ground: Ground) -> PreparedData:
    """The data of all runs of a row."""
    folder = ground.once("data", lambda path: BALL.write(path))
    run_folder = RunFolder(ground.kept / "prepared.mts.safetensors")
    return prepare_data([read_dataset(folder / BALL.name)], CONFIG, run_folder, io.StringIO())


def recipe(kind: str, data: PreparedData, ground: Ground) -> Recipe:
    """What makes a run one of its kind."""
    if kind == "transfer":
        return start_from(ground.once("pretrained.mts.safetensors", lambda path: _pretrained(path, ground)), data.plan)[
            0
        ]
    pool, architecture = ImagePool(data.plan.tasks, data.training), data.plan.architecture
    if kind == "pretext tasks":
        tasks = list(PRETEXTS.values())
        beside = pretext_companions(tasks, pool, CONFIG, architecture, IMAGES_PER_STEP, lambda progress: 0.5)
        return Recipe(companions=beside, identity={"companions": sorted(PRETEXTS)})
    if kind == "distillation":
        teachers = [random_network(architecture, seed) for seed in (1, 2)]
        batches = ViewBatches(pool, StudentViews(are_harder=True), CONFIG, architecture, IMAGES_PER_STEP)
        return Recipe(companions=(Distillation(teachers, batches, 0.7, 2.0),), identity={"teachers": [1, 2]})
    return PLAIN


def _pretrained(path: Path, ground: Ground) -> None:
    pretrain([ground.kept / "data" / BALL.name], path, "self-supervised", CONFIG, Budget(steps=2), stream=io.StringIO())


def run(kind: str, data: PreparedData, folder: RunFolder, ground: Ground, *, resume: bool = False) -> Optimization:
    """Train `STEPS` steps."""
    made = recipe(kind, data, ground)
    budget = Budget(steps=STEPS)
    return train(data, CONFIG, budget, folder, resume=resume, device=CPU, stream=io.StringIO(), recipe=made)


def run_until(kind: str, data: PreparedData, folder: RunFolder, ground: Ground, step: int) -> None:
    """Train with a checkpoint after every step, until the power goes in the middle of the step after this one."""
    plain = Optimization.train_step

    def train_step(self: Optimization, *arguments: object) -> dict[str, float]:
        """As ever, but not beyond the step."""
        record = plain(self, *arguments)  # type: ignore[arg-type]
        if self.step > step:
            raise PowerCut
        return record

    with (
        mock.patch.object(training, "CHECKPOINT_INTERVAL_S", -1.0),
        mock.patch.object(Optimization, "train_step", train_step),
    ):
        try:
            run(kind, data, folder, ground)
        except PowerCut:
            return
    raise Broken(f"the run ended before step {step}")


def difference(first: Optimization, second: Optimization) -> str:
    """Which part of two states differs; empty where all is equal to the bit."""
    for name, value in first.state().items():
        left, right = (torch.utils._pytree.tree_leaves(of) for of in (value, second.state()[name]))
        if len(left) != len(right) or not all(map(_same, left, right)):
            return name
    return ""


def _same(left: object, right: object) -> bool:
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right  # type: ignore[arg-type]
