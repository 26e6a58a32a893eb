"""Cycles of the learning rate against their closed form, and what cannot be divided into them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.config import TrainingConfig, read_experiment
from trainer.multi_task.settings import read_multi_task
from trainer.pretraining.finetune import finetune
from trainer.pretraining.pretrain import pretrain
from trainer.pretraining.unfreezing import frozen_parts
from trainer.snapshot.cycle import cycle_count, cycles_identity, place, require_cycles
from trainer.training.optimization import learning_rate_factor
from trainer.training.recipe import PLAIN, Companion, Recipe
from trainer.training.train_model import train_model
from trainer.training.training import Budget

MODEL = Path("m.mts.safetensors")


def with_snapshots(number: int) -> TrainingConfig:
    return TrainingConfig(snapshots=number)


@pytest.mark.parametrize("cycles", [2, 3, 5])
def test_in_each_of_n_equal_cycles_the_learning_rate_falls_by_half_a_cosine(cycles: int) -> None:
    each = 40
    for step in range(cycles * each):
        expected = 0.5 * (1 + math.cos(math.pi * (step % each) / each))
        found = learning_rate_factor(step / (cycles * each), step, 1, cycles)
        assert found == pytest.approx(expected, abs=1e-9), step


def test_only_the_first_steps_warm_up() -> None:
    factors = [learning_rate_factor(step / 30, step, 4, 3) for step in range(30)]
    plain = [0.5 * (1 + math.cos(math.pi * (step % 10) / 10)) for step in range(30)]
    warm = [0.25, 0.5, 0.75, *[1.0] * 27]
    assert factors == pytest.approx([w * p for w, p in zip(warm, plain, strict=True)])


@pytest.mark.parametrize("number", [0, 1])
def test_without_snapshots_the_learning_rate_is_to_the_bit_what_it_was(number: int) -> None:
    cycles = cycle_count(with_snapshots(number))
    for progress in [-0.1, *(step / 997 for step in range(998)), 1 - 1e-12, 1.0, 1.7]:
        before = min(1.0, 8 / 50) * 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
        assert learning_rate_factor(progress, 7, 50, cycles) == before


@pytest.mark.parametrize("cycles", [2, 3, 7, 10, 49])
def test_every_cycle_begins_at_its_step_however_the_share_of_steps_is_rounded(cycles: int) -> None:
    for each in range(1, 130):
        steps = cycles * each
        for number in range(cycles):
            assert place(number * each / steps, cycles) == (number, pytest.approx(0.0, abs=1e-9))
            assert place((number * each + each - 1) / steps, cycles)[0] == number


def test_every_cycle_has_a_step_where_there_are_no_fewer_steps_than_cycles() -> None:
    for steps in range(1, 60):
        for cycles in range(1, steps + 1):
            assert {place(step / steps, cycles)[0] for step in range(steps)} == set(range(cycles))


def test_the_end_of_a_run_belongs_to_the_last_cycle() -> None:
    assert place(1.0, 3) == place(4.2, 3) == (2, 1.0)


@pytest.mark.parametrize(
    ("number", "steps", "obstacle", "told"),
    [
        (-1, 10, "", "snapshots is -1"),
        (4, 3, "", "snapshots is 4, more than the 3 steps"),
        (2, None, "it is another training", "snapshots is 2, and it is another training"),
    ],
)
def test_what_a_training_cannot_leave_is_refused(number: int, steps: int | None, obstacle: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        require_cycles(with_snapshots(number), steps, obstacle)


@pytest.mark.parametrize(("number", "steps"), [(0, 1), (1, 1), (3, 3), (3, None)])
def test_what_it_can_leave_is_not(number: int, steps: int | None) -> None:
    require_cycles(with_snapshots(number), steps)
    require_cycles(with_snapshots(0), steps, "without snapshots nothing is in the way")


def test_recipes_that_go_once_through_the_training_cannot_be_divided() -> None:
    architecture, beside = Architecture((4, 8, 8), ((1, 2, 2),) * 2, ((1, 3, 3),) * 3, 5), cast(Companion, object())
    assert PLAIN.undivided == ""
    for strategy in ("all", "frozen-encoder", "last-layers"):
        assert Recipe(frozen=frozen_parts(strategy, architecture)).undivided == ""
    assert "one after the other" in Recipe(frozen=frozen_parts("gradual", architecture)).undivided
    assert "beside segmentation" in Recipe(companions=(beside,)).undivided
    assert "without masks" in Recipe(companions=(beside,), supervised=False).undivided


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (lambda: train_model([], MODEL, with_snapshots(3), Budget(steps=2)), "more than the 2 steps"),
        (lambda: finetune(None, [], MODEL, with_snapshots(3), Budget(steps=9), strategy="gradual"), "one after"),
        (lambda: finetune(None, [], MODEL, with_snapshots(-2), Budget(steps=9)), "snapshots is -2"),
        (lambda: pretrain([], MODEL, "self-supervised", with_snapshots(2), Budget(steps=9)), "without masks"),
        (lambda: pretrain([], MODEL, "segmentation", with_snapshots(10), Budget(steps=9)), "more than the 9 steps"),
    ],
)
def test_a_training_is_refused_before_it_touches_anything(
    begin: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=told):
        begin()
    assert not list(tmp_path.iterdir())


def test_an_experiment_that_compares_models_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("snapshots = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"snapshots is 3, and an experiment compares finished models: .*c\.toml"):
        read_experiment(path, {})
    path.write_text("snapshots = 1\n", encoding="utf-8")
    assert read_experiment(path, {})[0].snapshots == 1
    arms = "".join(
        f'[[multi_task.arms]]\nname = "{name}"\nkind = "{name}"\nnumbers = {{ {numbers} }}\n'
        for name, numbers in (("dedicated", ""), ("joint", "snapshots = 3"))
    )
    path.write_text(f'[multi_task]\ndata = ["A", "B"]\n{arms}', encoding="utf-8")
    with pytest.raises(UsageError, match="numbers of an arm has snapshots"):
        read_multi_task(path)


def test_cycles_belong_to_a_run_with_the_whole_budget_that_they_follow_from() -> None:
    assert cycles_identity(with_snapshots(0), 9, None) == cycles_identity(with_snapshots(1), 9, None) == {}
    known = [
        cycles_identity(with_snapshots(number), steps, minutes)
        for number, steps, minutes in ((2, 9, None), (3, 9, None), (2, 10, None), (2, None, 9.0), (2, None, 10.0))
    ]
    assert len({str(own) for own in known}) == len(known)
