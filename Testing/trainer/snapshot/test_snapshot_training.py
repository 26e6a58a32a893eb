"""Trainings that leave snapshots: interrupted and resumed at any moment they equal uninterrupted ones to the bit."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.data_file import content_digest, read_data_file
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.report.run_folder import RunFolder
from trainer.snapshot.member_store import MemberStore
from trainer.training import training
from trainer.training.optimization import Optimization
from trainer.training.recipe import Recipe
from trainer.training.training import Budget, PreparedData, prepare_data, train

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    seed=1, channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=512, workers=0, warmup_steps=1,
    validations=0, minimum_validation_groups=1, threads=1, learning_rate=1e-2, precision="float32", snapshots=3,
)  # fmt: skip
STEPS = 7
# 7 steps are 3 cycles of 7/3 steps: the third and the fifth step are the last of theirs.
ENDS = [3, 5]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("data")
    path = BallDataset("A", shape=(4, 8, 8), patients=3).write(folder)
    return prepare_data([read_dataset(path)], CONFIG, RunFolder(folder / "model.mts.safetensors"), io.StringIO())


def folder_in(path: Path) -> RunFolder:
    return RunFolder(path / "model.mts.safetensors")


def run(data: PreparedData, folder: RunFolder, *, resume: bool = False, steps: int = STEPS, **changes: Any) -> Any:
    how: dict[str, Any] = {"resume": resume, "device": CPU, "stream": io.StringIO()}
    how |= {name: changes.pop(name) for name in ("watch", "recipe") if name in changes}
    budget = changes.pop("budget", Budget(steps=steps))
    return train(data, replace(CONFIG, **changes), budget, folder, **how)


@pytest.fixture(scope="module")
def whole(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Optimization, RunFolder]:
    folder = folder_in(tmp_path_factory.mktemp("whole"))
    return run(data, folder), folder


def contents(folder: Path) -> dict[str, str]:
    """Digest of all that each member's file holds; the order of its header is chance."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        metadata, text, tensors = read_data_file(path, lambda text, path: text)
        found[path.name] = content_digest(text, tensors)
        assert metadata["digest"] == found[path.name]
    return found


def files(folder: RunFolder) -> dict[str, str]:
    return contents(folder.snapshots)


def leaves(optimization: Optimization) -> list[Any]:
    return torch.utils._pytree.tree_leaves(optimization.state())


def same(a: Optimization, b: Optimization) -> bool:
    pairs = list(zip(leaves(a), leaves(b), strict=True))
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


class PowerCut(Exception):
    """The run ends without warning."""


def run_until(
    data: PreparedData, folder: RunFolder, step: int, saved: Collection[int], patch: pytest.MonkeyPatch
) -> None:
    """Train with a checkpoint after these steps, until the power goes in the middle of the step after one."""
    plain_step, plain_save = Optimization.train_step, training.save_checkpoint

    def train_step(self: Optimization, *arguments: object) -> dict[str, float]:
        record = plain_step(self, *arguments)  # type: ignore[arg-type]
        if self.step > step:
            raise PowerCut
        return record

    def save(path: Path, state: dict[str, Any], identity: Any) -> None:
        if state["step"] in saved:
            plain_save(path, state, identity)

    with patch.context() as context:
        context.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)
        context.setattr(training, "save_checkpoint", save)
        context.setattr(Optimization, "train_step", train_step)
        with pytest.raises(PowerCut):
            run(data, folder)


def test_a_member_is_kept_at_the_end_of_each_cycle_but_the_last(whole: tuple[Optimization, RunFolder]) -> None:
    optimization, folder = whole
    assert [(member.number, member.step) for member in optimization.members] == [(1, ENDS[0]), (2, ENDS[1])]
    assert sorted(files(folder)) == ["cycle1.safetensors", "cycle2.safetensors"]


@pytest.mark.parametrize("cut_after", range(STEPS))
def test_a_run_that_is_cut_after_any_step_and_resumed_equals_an_uninterrupted_one(
    data: PreparedData, whole: tuple[Optimization, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    cut_after: int,
) -> None:  # fmt: skip
    folder = folder_in(tmp_path)
    run_until(data, folder, cut_after, range(1, STEPS), monkeypatch)
    assert same(run(data, folder, resume=True), whole[0])
    assert files(folder) == files(whole[1])


@pytest.mark.parametrize("saved", [1, 2, 3, 4])
def test_a_run_whose_checkpoint_is_older_than_its_last_member_makes_that_member_again(
    data: PreparedData, whole: tuple[Optimization, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    saved: int,
) -> None:  # fmt: skip
    folder = folder_in(tmp_path)
    run_until(data, folder, 6, [saved], monkeypatch)
    assert len(files(folder)) == 2
    left: list[int] = []
    resumed = run(data, folder, resume=True, watch=lambda *_: left.append(len(files(folder))))
    assert left[0] == (1 if saved > 2 else 0), "what the checkpoint does not know is forgotten"
    assert same(resumed, whole[0])
    assert files(folder) == files(whole[1])


def test_a_member_is_the_average_of_its_cycle_alone_and_no_two_are_the_same(
    data: PreparedData, whole: tuple[Optimization, RunFolder], tmp_path: Path
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def watch(optimization: Optimization, *_: object) -> None:
        """By step, the network's own weights."""
        state = optimization.network.state_dict()
        seen.append({name: value.detach().clone() for name, value in state.items()})

    optimization = run(data, folder_in(tmp_path), watch=watch)
    store = MemberStore(folder_in(tmp_path).snapshots)
    # The head is not standardised: its average can be told in closed form.
    first, second = (store.weights(member)["head.weight"] for member in optimization.members)
    own = [state["head.weight"] for state in seen]
    ramp = [min(CONFIG.ema_decay, (1 + n) / (10 + n)) for n in range(1, STEPS)]
    expected = own[3].lerp(own[4], 1 - ramp[0])
    assert torch.equal(second, expected.half()), "steps 4 and 5 are the second cycle"
    expected = own[0].lerp(own[1], 1 - ramp[0]).lerp(own[2], 1 - ramp[1])
    assert torch.equal(first, expected.half())
    last = optimization.averaged_network().state_dict()["head.weight"].half()
    assert torch.equal(last, own[5].lerp(own[6], 1 - ramp[0]).half())
    assert not torch.equal(first, second)
    assert not torch.equal(second, last)


@pytest.mark.parametrize("number", [0, 1])
def test_without_snapshots_a_run_leaves_none_and_is_the_same_for_0_and_1(
    data: PreparedData, whole: tuple[Optimization, RunFolder], tmp_path: Path, number: int
) -> None:
    plain = run(data, folder_in(tmp_path), snapshots=number)
    assert plain.members == []
    assert plain.cycle == 0
    assert not folder_in(tmp_path).snapshots.exists()
    assert int(plain.average.n_averaged) == STEPS
    assert not torch.equal(plain.network.head.weight, whole[0].network.head.weight)
    assert same(run(data, folder_in(tmp_path), snapshots=1 - number, resume=True), plain)


def test_a_checkpoint_from_before_there_were_snapshots_is_taken_up(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, identities = folder_in(tmp_path), []
    plain = training.save_checkpoint

    def save(path: Path, state: dict[str, Any], identity: Any) -> None:
        identities.append(identity)
        plain(path, {key: value for key, value in state.items() if key not in ("cycle", "members")}, identity)

    with monkeypatch.context() as context:
        context.setattr(training, "save_checkpoint", save)
        run(data, folder, steps=3, snapshots=0)
    assert "snapshots" not in json.dumps(identities)
    assert "cycles" not in json.dumps(identities)
    assert run(data, folder, resume=True, steps=4, snapshots=0).step == 4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 8}, r"fell in 3 cycles of together 7 steps and would now fall in 3 cycles of together 8 steps"),
        ({"snapshots": 2}, r"would now fall in 2 cycles of together 7 steps"),
        ({"snapshots": 0}, r"would now fall in one cycle"),
        ({"budget": Budget(minutes=1.5)}, r"would now fall in 3 cycles of together 1.5 minutes"),
    ],
)
def test_a_run_does_not_go_on_with_other_cycles(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    folder = folder_in(tmp_path)
    run_until(data, folder, 4, range(9), monkeypatch)
    before = files(folder)
    with pytest.raises(ModelError, match=told):
        run(data, folder, resume=True, **changes)
    assert files(folder) == before


def test_a_run_does_not_go_on_without_a_member(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_in(tmp_path)
    run_until(data, folder, 4, range(9), monkeypatch)
    (folder.snapshots / "cycle1.safetensors").unlink()
    with pytest.raises(ModelError, match="snapshot 1 of the training is lost"):
        run(data, folder, resume=True)


def test_what_an_earlier_run_has_left_is_put_aside_twice_over(data: PreparedData, tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    for seed in (1, 2):
        run(data, folder, seed=seed)
        before = files(folder)
    run(data, folder, snapshots=0)
    assert contents(folder.path / "previous-snapshots") == before
    assert not folder.snapshots.exists()


def test_a_recipe_that_cannot_be_divided_is_refused_by_the_training_itself(data: PreparedData, tmp_path: Path) -> None:
    recipe = Recipe(frozen=lambda progress: ("encoder.",) if progress < 0.5 else ())
    with pytest.raises(UsageError, match="one after the other"):
        run(data, folder_in(tmp_path), recipe=recipe)
    with pytest.raises(UsageError, match="more than the 2 steps"):
        run(data, folder_in(tmp_path), steps=2)


@pytest.fixture
def steps_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets each step take so many seconds of a clock that stands still otherwise."""
    now_s, plain = [1000.0], Optimization.train_step

    def set_time(step_s: float) -> None:
        def train_step(self: Optimization, *arguments: Any) -> dict[str, float]:
            now_s[0] += step_s
            return plain(self, *arguments)

        monkeypatch.setattr(Optimization, "train_step", train_step)

    monkeypatch.setattr(training.time, "monotonic", lambda: now_s[0])
    return set_time


@pytest.mark.parametrize(("step_s", "expected"), [(5.0, [4, 8]), (9.0, [3, 5]), (25.0, [1, 2]), (45.0, [1])])
def test_cycles_of_a_training_by_the_clock_end_by_the_clock(
    data: PreparedData, tmp_path: Path, steps_of: Callable[[float], None], step_s: float, expected: list[int]
) -> None:
    """Of three cycles of 20 s each; one that no step has begun in leaves nothing."""
    steps_of(step_s)
    found = run(data, folder_in(tmp_path), budget=Budget(minutes=1.0))
    assert [member.step for member in found.members] == expected


def test_a_cycle_that_ended_while_the_checkpoint_was_written_is_not_lost(
    data: PreparedData, tmp_path: Path, steps_of: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved 19 s after the beginning by the loop's clock, and 21 s by the checkpoint's own."""
    steps_of(9.5)
    plain, folder = training.save_checkpoint, folder_in(tmp_path)

    def save(path: Path, state: dict[str, Any], identity: Any) -> None:
        plain(path, state | {"elapsed_s": state["elapsed_s"] + 2.0}, identity)
        if state["step"] == 2:
            raise PowerCut

    with monkeypatch.context() as context:
        context.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)
        context.setattr(training, "save_checkpoint", save)
        with pytest.raises(PowerCut):
            run(data, folder, budget=Budget(minutes=1.0))
    assert files(folder) == {}
    found = run(data, folder, resume=True, budget=Budget(minutes=1.0))
    assert [member.step for member in found.members] == [2, 4]
