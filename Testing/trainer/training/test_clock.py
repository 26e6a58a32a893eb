"""The clock of a run: when it ends, looks at itself, saves and says how far it is. Time passes only when told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.report import progress
from trainer.report.run_folder import RunFolder
from trainer.training import training
from trainer.training.optimization import Optimization
from trainer.training.training import Budget, PreparedData, prepare_data, train

CONFIG = TrainingConfig(
    seed=1, channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=512, workers=0, validations=0,
    minimum_validation_groups=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("data")
    path = BallDataset("A", shape=(4, 8, 8), patients=3).write(folder)
    return prepare_data([read_dataset(path)], CONFIG, RunFolder(folder / "model.mts.safetensors"), io.StringIO())


class Clock:
    """Each step takes ``step_s`` and has the step's number as its loss; nothing is learnt."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 1000.0, step_s

    def __call__(self) -> float:
        return self.now_s

    def step(self, optimization: Optimization, *arguments: object) -> dict[str, float]:
        self.now_s += self.step_s
        optimization.step += 1
        return {"loss": float(optimization.step), "lr": 0.0, "gradient_norm": 0.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Ten seconds per step; validation is free and finds a Dice of one half."""
    made = Clock(10.0)
    monkeypatch.setattr(training.time, "monotonic", made)
    monkeypatch.setattr(Optimization, "train_step", lambda self, *arguments: made.step(self, *arguments))
    monkeypatch.setattr(training, "validate", lambda *arguments, **options: {"A": 0.5})
    plain = training.RunProgress
    monkeypatch.setattr(training, "RunProgress", lambda stream: plain(stream, made))
    return made


@pytest.fixture
def run(data: PreparedData, tmp_path: Path, clock: Clock) -> Callable[..., Optimization]:
    """Train in this test's folder; returns the state after it."""

    def go(budget: Budget, *, resume: bool = False, stream: io.StringIO | None = None, **changes: Any) -> Optimization:
        folder = RunFolder(tmp_path / "model.mts.safetensors")
        config, out = replace(CONFIG, **changes), stream or io.StringIO()
        return train(data, config, budget, folder, resume=resume, device=torch.device("cpu"), stream=out)

    return go


def records(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "model.run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_resumed_run_counts_the_minutes_that_were_used_up_before(run: Any, tmp_path: Path) -> None:
    assert run(Budget(minutes=0.5)).step == 3
    assert run(Budget(minutes=1.0), resume=True).step == 6
    assert records(tmp_path)[-1]["elapsed_s"] == 60.0
    # Its minutes are over: not a step more.
    assert run(Budget(minutes=1.0), resume=True).step == 6


def test_minutes_of_a_run_that_is_started_anew_are_not_counted(run: Any, tmp_path: Path) -> None:
    run(Budget(minutes=0.5))
    assert run(Budget(minutes=1.0)).step == 6
    assert records(tmp_path)[0]["step"] == 6


@pytest.mark.parametrize("times, expected", [(0, [6]), (1, [6]), (2, [3, 6]), (3, [2, 4, 6]), (6, [1, 2, 3, 4, 5, 6])])
def test_a_run_looks_at_held_out_cases_as_often_as_asked_and_always_at_the_end(
    run: Any, tmp_path: Path, times: int, expected: list[int]
) -> None:
    run(Budget(steps=6), validations=times)
    assert [record["step"] for record in records(tmp_path) if "dice" in record] == expected


def test_a_resumed_run_goes_on_with_the_validations_that_are_left(run: Any, tmp_path: Path) -> None:
    run(Budget(minutes=0.5), validations=0)
    run(Budget(minutes=1.0), validations=3, resume=True)
    assert [record["step"] for record in records(tmp_path)] == [3, 4, 6]


def test_validation_sees_the_averaged_network_and_held_out_cases(
    run: Any, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def validate(network: Any, tasks: Any, cases: Any, **options: Any) -> dict[str, float]:
        seen.append((cases, options["cases_per_task"], network.training))
        return {}

    averaged = Optimization.averaged_network
    asked: list[int] = []
    monkeypatch.setattr(Optimization, "averaged_network", lambda self: asked.append(self.step) or averaged(self))
    monkeypatch.setattr(training, "validate", validate)
    run(Budget(steps=1), validation_cases=5)
    assert [found[:2] for found in seen] == [(data.held_out, 5)]
    assert asked == [1]


@pytest.mark.parametrize("step_s, expected", [(19.9, [4, 5]), (20.1, [3, 5])])
def test_a_checkpoint_is_written_when_a_minute_is_over_and_at_the_end(
    run: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, step_s: float, expected: list[int]
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(training, "save_checkpoint", lambda path, state, digest: saved.append(state["step"]))
    clock.step_s = step_s
    run(Budget(steps=5))
    assert saved == expected


def test_every_twentieth_step_logs_the_mean_loss_since_the_last_one(run: Any, tmp_path: Path) -> None:
    run(Budget(steps=41))
    logged = [(r["step"], r["loss"], r["elapsed_s"]) for r in records(tmp_path) if "loss" in r]
    assert logged == [(20, 10.5, 200.0), (40, 30.5, 400.0)]


def test_a_run_says_after_every_step_how_far_it_is_and_what_the_last_loss_was(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)
    monkeypatch.setattr(training, "LOG_EVERY_STEPS", 2)
    stream = io.StringIO()
    run(Budget(steps=4), stream=stream)
    assert stream.getvalue().splitlines() == [
        "training:  25 %, 30 s left",
        "training:  50 %, 20 s left, step 2 loss 1.500",
        "training:  75 %, 10 s left, step 2 loss 1.500",
        "training: 100 %, took 40 s, step 4 loss 3.500",
    ]


def test_a_resumed_run_is_not_told_to_be_faster_than_it_is(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.0)
    run(Budget(steps=3))
    stream = io.StringIO()
    run(Budget(steps=6), resume=True, stream=stream)
    assert stream.getvalue().splitlines()[0] == "training:  66 %, 20 s left"


@pytest.mark.parametrize("threads, expected", [(0, []), (3, [3])])
def test_the_number_of_threads_is_set_only_when_one_is_given(
    run: Any, monkeypatch: pytest.MonkeyPatch, threads: int, expected: list[int]
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    run(Budget(steps=1), threads=threads)
    assert asked == expected
