"""What the processes of these tests do; each of these functions runs in all of them."""

from __future__ import annotations

import io
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.machine.last_words import Terminated
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset, read_dataset
from trainer.data.patches import PatchGroup
from trainer.data.planning import Plan, TaskPlan
from trainer.distributed.ranks import ALONE, Ranks
from trainer.identity.weights_digest import weights_digest
from trainer.report.run_folder import RunFolder
from trainer.report.run_progress import RunProgress
from trainer.snapshot.member_store import MemberStore
from trainer.training.measuring import measure, plan_measuring
from trainer.training.optimization import Optimization
from trainer.training.training import Budget, prepare_data, train
from trainer.training.validation import validate
from trainer.training.weight_standardization import initialize

CPU = torch.device("cpu")
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
ARCHITECTURE = Architecture((3, 4), ((1, 2, 2),), ((3, 3, 3),) * 2, 5, stems=(1, 2))
# Gradients as they are: nothing is clipped.
CONFIG = TrainingConfig(seed=2, warmup_steps=0, gradient_clip=1e9, groups_per_step=3)
SMALL = TrainingConfig(
    channels=(3, 4), patches_per_group=1, groups_per_step=2, patch_voxels=256, workers=0, warmup_steps=1,
    validations=0, minimum_validation_groups=2, threads=1, measuring_share=0.0,
)  # fmt: skip


def _task(name: str, start: int, labels: int, absent: tuple[int, ...], stem: int) -> TaskPlan:
    dataset = Dataset(Path(name), name, "T1", "head", {}, (), inputs=("T1", "T2") if stem else ())
    names = tuple(f"l{n}" for n in range(labels))
    return TaskPlan(
        dataset, PROFILE, start, names, tuple((n + 1,) for n in range(labels)), (2, 8, 8), absent, stem=stem
    )


PLAN = Plan((_task("A", 0, 2, (1,), 0), _task("B", 3, 1, (), 1)), ARCHITECTURE)


def group(number: int, seed: int) -> PatchGroup:
    """Patches of a task, drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 2, (2, 2, 8, 8), generator=generator)
    noise = torch.rand((2, 1 + number, 2, 8, 8), generator=generator)
    return PatchGroup(number, 0.4 * truth[:, None].float() + noise, truth)


# The second task's stem has no part in the first step, and none in what the second process does in the others.
STEPS = [[group(0, 1), group(0, 2), group(0, 3)], [group(0, 4), group(0, 5), group(1, 6)], [group(1, 7), group(0, 8)]]


def gradients(ranks: Ranks) -> dict[str, Any]:
    """Of three steps, whose groups cannot be shared out evenly; and the weights after them."""
    optimization = Optimization(PLAN, CONFIG, CPU, ranks=ranks)
    parts, losses, untouched = [], [], []
    for groups in STEPS:
        losses.append(optimization.train_step(ranks.share(groups), 0.0)["loss"])
        named = [*optimization.network.named_parameters(), *optimization.auxiliary.named_parameters()]
        parts.append({name: p.grad.numpy().copy() for name, p in named if p.grad is not None})
        untouched.append(sorted(name for name, p in named if p.grad is None))
    weights = [p.detach().numpy().copy() for p in optimization.network.parameters()]
    return {"gradients": parts, "losses": losses, "untouched": untouched, "weights": weights}


def seams(ranks: Ranks) -> dict[str, Any]:
    """What is gathered, agreed upon and drawn."""
    generators = [np.random.default_rng(1), np.random.default_rng(2)]
    drawn = ranks.in_order(range(5), lambda n: n * 10, lambda n: (n, *(g.integers(99) for g in generators)), generators)
    return {
        "each": ranks.each("abcde", str.upper),
        "drawn": [tuple(map(int, own)) for own in drawn],
        "after": [int(generator.integers(10**9)) for generator in generators],
        "total": ranks.total(float(ranks.rank + 1)),
        "agreed": ranks.agreed(lambda: f"of {ranks.rank}"),
        "names": sorted(ranks.run_names),
    }


def with_a_loss_that_is_not_finite_in_the_last_process(ranks: Ranks) -> tuple[str, bool]:
    """What is said, and whether the weights are those from before."""
    optimization = Optimization(PLAN, CONFIG, CPU, ranks=ranks)
    before = [p.clone() for p in optimization.network.parameters()]
    groups = [group(0, 1), group(0, 2)]
    groups[-1].images[:] = float("nan")
    try:
        optimization.train_step(ranks.share(groups), 0.0)
    except ModelError as error:
        return str(error), all(map(torch.equal, before, optimization.network.parameters()))
    return "", False


def facts(ranks: Ranks) -> dict[str, Any]:
    """All of the above, with one start of the processes."""
    return {
        "steps": gradients(ranks),
        "seams": seams(ranks),
        "not finite": with_a_loss_that_is_not_finite_in_the_last_process(ranks),
    }


def measured(ranks: Ranks, folders: list[Path], output: Path) -> dict[str, Any]:
    """Validation and what model and check are made of, by one process and by all."""
    folder = RunFolder(output)
    data = prepare_data([read_dataset(f) for f in folders], SMALL, folder, io.StringIO(), ranks=ranks)
    network = SegmentationNetwork(data.plan.architecture)
    initialize(network, torch.Generator().manual_seed(0))
    network = network.eval().requires_grad_(False)
    return {name: _measured(who, data, network) for name, who in (("all", ranks), ("alone", ALONE))}


def _measured(ranks: Ranks, data: Any, network: SegmentationNetwork) -> dict[str, Any]:
    plan = plan_measuring(data, network, SMALL, CPU, ranks)
    progress = RunProgress(io.StringIO())
    found = measure(data, network, SMALL, CPU, plan.chosen(1.0), plan, progress, ranks)
    dice = validate(network, data.plan.tasks, data.held_out, device=CPU, cases_per_task=9, ranks=ranks)
    cells = [(own.rows, own.held_out, own.groups, own.rng.bit_generator.state) for own in found.cells]
    return {"dice": dice, "figures": found.figures, "images": found.images, "cells": cells}


def snapshots(ranks: Ranks, folders: list[Path], output: Path) -> dict[str, Any]:
    """What a training has left on its way, its weights, and how many members this process has written."""
    written, plain = [], MemberStore.keep
    MemberStore.keep = lambda *own: written.append(own[1]) or plain(*own)  # type: ignore[method-assign, func-returns-value]
    folder, config = RunFolder(output), replace(SMALL, snapshots=3)
    data = prepare_data([read_dataset(f) for f in folders], config, folder, io.StringIO(), ranks=ranks)
    how: dict[str, Any] = {"resume": False, "device": CPU, "stream": io.StringIO(), "ranks": ranks}
    trained = train(data, config, Budget(steps=6), folder, **how)
    return {
        "members": [(member.number, member.step, member.digest) for member in trained.members],
        "weights": weights_digest(trained.averaged_network().state_dict()),
        "written": written,
    }


def fail(ranks: Ranks, how: str) -> None:
    """The second process does not do its part."""
    if ranks.rank == 1:
        if how == "error":
            raise DatasetError("a label map is damaged", file="b.nii.gz")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "ask":
            raise Terminated
        time.sleep(60)
    ranks.each(range(4), lambda n: n)


def train_with(ranks: Ranks, folders: list[Path], output: Path, changes: dict[str, Any]) -> None:
    """A training whose second process has other settings."""
    from trainer.training.train_model import train_model
    from trainer.training.training import Budget

    changes = dict(changes)
    if changes.pop("other machine", False) and ranks.rank:
        folders = [folder / "elsewhere" for folder in folders]
    config = replace(SMALL, **(changes if ranks.rank or "groups_per_step" in changes else {}))
    train_model(folders, output, config, Budget(steps=1), stream=io.StringIO(), ranks=ranks)
