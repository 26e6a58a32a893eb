"""Runs: interrupted and resumed they equal uninterrupted ones to the bit; what must not go on is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError, UsageError
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.report.run_folder import RunFolder
from trainer.training import batches, training
from trainer.training.optimization import Optimization
from trainer.training.training import Budget, PreparedData, prepare_data, train

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    seed=1, channels=(3, 4), patches_per_group=1, groups_per_step=2, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=1, threads=1,
)  # fmt: skip
STEPS = Budget(steps=6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("data")
    shape = (6, 12, 12)
    paths = [
        BallDataset("A", shape=shape, patients=3).write(folder),
        BallDataset("B", shape=shape, patients=3, region="chest", contrast=-80.0).write(folder),
    ]
    run = RunFolder(folder / "model.mts.safetensors")
    return prepare_data([read_dataset(p) for p in paths], CONFIG, run, io.StringIO())


def run(
    data: PreparedData, folder: RunFolder, *, config: TrainingConfig = CONFIG, resume: bool = False
) -> Optimization:
    return train(data, config, STEPS, folder, resume=resume, device=CPU, stream=io.StringIO())


def run_folder(path: Path) -> RunFolder:
    return RunFolder(path / "model.mts.safetensors")


class PowerCut(Exception):
    """The run ends without warning."""


def run_until(data: PreparedData, folder: RunFolder, step: int, patch: pytest.MonkeyPatch) -> None:
    """Train with a checkpoint after every step, until the power goes in the middle of a step."""
    plain = Optimization.train_step

    def train_step(self: Optimization, *arguments: object) -> dict[str, float]:
        record = plain(self, *arguments)  # type: ignore[arg-type]
        if self.step > step:
            raise PowerCut
        return record

    with patch.context() as context:
        context.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)
        context.setattr(Optimization, "train_step", train_step)
        with pytest.raises(PowerCut):
            run(data, folder)


def same(a: Optimization, b: Optimization) -> bool:
    """Whether every tensor of both states is equal to the bit."""
    left, right = (torch.utils._pytree.tree_leaves(o.state()) for o in (a, b))
    pairs = list(zip(left, right, strict=True))
    assert sum(isinstance(x, torch.Tensor) for x, _ in pairs) > 50
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


@pytest.mark.parametrize("cut_after", [1, 4])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    whole = run(data, run_folder(tmp_path / "whole"))
    folder = run_folder(tmp_path / "cut")
    run_until(data, folder, cut_after, monkeypatch)
    resumed = run(data, folder, resume=True)
    assert whole.step == resumed.step == 6
    assert same(whole, resumed)


def test_a_run_that_begins_again_at_the_first_patches_would_be_noticed(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, run_folder(tmp_path / "whole"))
    folder = run_folder(tmp_path / "cut")
    run_until(data, folder, 3, monkeypatch)
    plain = batches.StepRange
    monkeypatch.setattr(batches, "StepRange", lambda first_step, *more: plain(0, *more))
    assert not same(whole, run(data, folder, resume=True))


def test_two_runs_are_equal_and_a_run_of_another_seed_is_not(data: PreparedData, tmp_path: Path) -> None:
    first = run(data, run_folder(tmp_path / "a"))
    assert same(first, run(data, run_folder(tmp_path / "b")))
    assert not same(first, run(data, run_folder(tmp_path / "c"), config=replace(CONFIG, seed=2)))


def test_a_finished_run_is_not_trained_further_by_resuming(data: PreparedData, tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    first = run(data, folder)
    records = folder.steps.read_text(encoding="utf-8")
    assert same(first, run(data, folder, resume=True))
    assert folder.steps.read_text(encoding="utf-8") == records


def test_without_resume_a_run_starts_from_the_beginning(data: PreparedData, tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    first = run(data, folder)
    assert same(first, run(data, folder))
    steps = [json.loads(line)["step"] for line in folder.steps.read_text(encoding="utf-8").splitlines()]
    assert steps == [6]


@pytest.mark.parametrize("changes", [{"learning_rate": 1e-3}, {"seed": 2}, {"precision": "bfloat16"}], ids=str)
def test_a_checkpoint_of_other_settings_is_refused(
    data: PreparedData, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = run_folder(tmp_path)
    run(data, folder)
    before = folder.checkpoint.read_bytes()
    with pytest.raises(ModelError, match="other data or settings"):
        run(data, folder, config=replace(CONFIG, **changes), resume=True)  # type: ignore[arg-type]
    assert folder.checkpoint.read_bytes() == before


def test_how_often_a_run_is_looked_at_may_change(data: PreparedData, tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    first = run(data, folder)
    assert same(first, run(data, folder, config=replace(CONFIG, validations=3, threads=0), resume=True))


def test_a_checkpoint_of_other_cases_is_refused(data: PreparedData, tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    run(data, folder)
    fewer = replace(data, training=(data.training[0][:1], data.training[1]))
    with pytest.raises(ModelError, match="other data or settings"):
        run(fewer, folder, resume=True)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(tmp_path)
    run_until(data, folder, 2, monkeypatch)
    before = folder.checkpoint.read_bytes()
    plain = Optimization.loss
    monkeypatch.setattr(Optimization, "loss", lambda self, group: plain(self, group) * float("nan"))
    with pytest.raises(ModelError, match="nan at step 2"):
        run(data, folder, resume=True)
    assert folder.checkpoint.read_bytes() == before


def test_records_of_steps_that_are_made_again_are_forgotten(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    for step in (10, 20, 30):
        folder.append({"step": step})
    folder.truncate_after(20)
    assert folder.steps.read_text(encoding="utf-8") == '{"step": 10}\n{"step": 20}\n'
    folder.truncate_after(0)
    assert folder.steps.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("steps, minutes", [(None, None), (5, 1.0), (0, None), (-3, None), (None, -1.0), (None, 0.0)])
def test_a_budget_is_either_steps_or_minutes(steps: int | None, minutes: float | None) -> None:
    with pytest.raises(UsageError):
        Budget(steps, minutes)


def test_the_share_of_a_budget_counts_steps_or_minutes() -> None:
    assert Budget(steps=8).progress(2, 1e9) == 0.25
    assert Budget(minutes=2.0).progress(10**9, 30.0) == 0.25


def test_two_datasets_of_one_name_and_one_without_enough_patients_are_refused(tmp_path: Path) -> None:
    twins = [read_dataset(BallDataset("A", shape=(4, 8, 8), patients=3).write(tmp_path / f)) for f in ("x", "y")]
    folder = run_folder(tmp_path)
    with pytest.raises(DatasetError, match="same name"):
        prepare_data(twins, CONFIG, folder, io.StringIO())
    few = read_dataset(BallDataset("Few", shape=(4, 8, 8), patients=2).write(tmp_path))
    with pytest.raises(DatasetError, match="Few has too few groups"):
        prepare_data([few], CONFIG, folder, io.StringIO())


def test_seeds_share_the_held_out_groups_and_the_split_seed_changes_them(tmp_path: Path) -> None:
    path = BallDataset("A", shape=(6, 12, 12), patients=12).write(tmp_path)

    def held_out(config: TrainingConfig) -> set[str]:
        prepared = prepare_data([read_dataset(path)], config, run_folder(tmp_path), io.StringIO())
        return {case.case.group for case in prepared.held_out[0]}

    base = held_out(CONFIG)
    assert held_out(replace(CONFIG, seed=7)) == base
    assert any(held_out(replace(CONFIG, split_seed=s)) != base for s in (1, 2, 3))


def test_the_log_says_which_share_of_a_step_was_spent_waiting_for_data(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    draw, step = training.PatchGroups.__getitem__, Optimization.train_step

    def slow_draw(self: training.PatchGroups, index: int) -> training.PatchGroups:
        now[0] += 1.0
        return draw(self, index)  # type: ignore[return-value]

    def slow_step(self: Optimization, *arguments: object) -> dict[str, float]:
        now[0] += 6.0 if self.step < 3 else 18.0
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(training, "LOG_EVERY_STEPS", 3)
    monkeypatch.setattr(training.PatchGroups, "__getitem__", slow_draw)
    monkeypatch.setattr(Optimization, "train_step", slow_step)
    folder, seen = run_folder(tmp_path), []
    train(
        data, CONFIG, STEPS, folder, resume=False, device=CPU, stream=io.StringIO(),
        watch=lambda optimization, time: seen.append((optimization.step, time)),
    )  # fmt: skip
    # Two groups are drawn for each step.
    assert seen == [(number, training.StepTime(2.0, 8.0 if number < 4 else 20.0)) for number in range(1, 7)]
    records = [json.loads(line) for line in folder.steps.read_text(encoding="utf-8").splitlines()]
    assert [r["waiting_share"] for r in records if "loss" in r] == [0.25, 0.1]
