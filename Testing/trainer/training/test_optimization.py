"""One optimiser step: what it changes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset
from trainer.data.patches import PatchGroup
from trainer.data.planning import Plan, TaskPlan
from trainer.training.optimization import Optimization, learning_rate_factor
from trainer.training.recipe import Recipe

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
ARCHITECTURE = Architecture((3, 4, 5), ((1, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3, 5)
CONFIG = TrainingConfig(seed=2, warmup_steps=2, learning_rate=1e-2)


def task(name: str, start: int, labels: int, absent: tuple[int, ...]) -> TaskPlan:
    dataset = Dataset(Path(name), name, "T1", "head", {}, ())
    names = tuple(f"l{n}" for n in range(labels))
    return TaskPlan(dataset, PROFILE, start, names, tuple((n + 1,) for n in range(labels)), (4, 8, 8), absent)


PLAN = Plan((task("A", 0, 2, (1,)), task("B", 3, 1, ())), ARCHITECTURE)


def fresh(config: TrainingConfig = CONFIG) -> Optimization:
    return Optimization(PLAN, config, torch.device("cpu"))


def group(number: int, labels: int, seed: int = 1) -> PatchGroup:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, labels + 1, (2, 4, 8, 8), generator=generator)
    images = 0.4 * truth[:, None].float() + 0.1 * torch.rand((2, 1, 4, 8, 8), generator=generator)
    return PatchGroup(number, images, truth)


A, B = group(0, 2), group(1, 1)


def weights(optimization: Optimization) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in optimization.network.state_dict().items()}


def test_weights_and_the_state_of_the_optimiser_go_with_the_last_who_holds_them() -> None:
    fresh()  # with the first optimiser torch loads parts of itself, which leaves traces
    gc.collect()
    optimization = fresh()
    optimization.train_step([A, B], 0.0)
    held = [weakref.ref(optimization), weakref.ref(optimization.network), weakref.ref(optimization.average)]
    gc.disable()
    try:
        del optimization
        assert [own() for own in held] == [None, None, None]
    finally:
        gc.enable()


def test_the_learning_rate_warms_up_and_then_follows_half_a_cosine() -> None:
    assert [learning_rate_factor(0.0, step, 4) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert learning_rate_factor(0.5, 100, 4) == pytest.approx(0.5)
    assert learning_rate_factor(1.0, 100, 4) == pytest.approx(0.0)
    assert learning_rate_factor(1.7, 100, 4) == pytest.approx(0.0)
    assert learning_rate_factor(0.0, 0, 0) == 1.0


def test_a_few_steps_lower_the_loss() -> None:
    optimization = fresh()
    losses = [optimization.train_step([A, B], 0.0)["loss"] for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    assert optimization.step == 12


def test_steps_depend_on_nothing_but_seed_and_patches() -> None:
    first, second = fresh(), fresh()
    torch.manual_seed(5)
    for optimization in (first, second):
        for _ in range(3):
            optimization.train_step([A, B], 0.1)
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_a_restored_state_goes_on_to_the_bit_and_an_incomplete_one_does_not(tmp_path: Path) -> None:
    whole, part = fresh(), fresh()
    for optimization in (whole, part):
        for _ in range(2):
            optimization.train_step([A, B], 0.1)
    torch.save(part.state(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    restored, forgetful = fresh(), fresh()
    restored.restore(state)
    forgetful.restore({**state, "optimizer": forgetful.optimizer.state_dict()})
    for optimization in (whole, restored, forgetful):
        optimization.train_step([B], 0.2)
    assert restored.step == whole.step == 3
    assert all(torch.equal(value, weights(restored)[name]) for name, value in weights(whole).items())
    averaged = whole.averaged_network().state_dict()
    assert all(torch.equal(value, averaged[n]) for n, value in restored.averaged_network().state_dict().items())
    assert any(not torch.equal(value, weights(forgetful)[name]) for name, value in weights(whole).items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused_and_changes_nothing(bad: float) -> None:
    optimization = fresh()
    optimization.train_step([A], 0.0)
    before, average = weights(optimization), optimization.averaged_network().state_dict()
    spoilt = PatchGroup(0, A.images * bad, A.labels)
    with pytest.raises(ModelError, match="step 1"):
        optimization.train_step([spoilt], 0.0)
    assert optimization.step == 1
    assert all(torch.equal(value, before[name]) for name, value in weights(optimization).items())
    assert all(torch.equal(v, average[n]) for n, v in optimization.averaged_network().state_dict().items())


def test_a_gradient_that_is_not_finite_is_refused_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    optimization = fresh()
    before = weights(optimization)
    plain = optimization.loss

    def loss(patches: PatchGroup) -> torch.Tensor:
        # The square root of 0 is 0, its slope is infinite.
        return plain(patches) + (0 * optimization.network.head.bias).abs().sum().sqrt()

    monkeypatch.setattr(optimization, "loss", loss)
    with pytest.raises(ModelError, match="gradient"):
        optimization.train_step([A], 0.0)
    assert all(torch.equal(value, before[name]) for name, value in weights(optimization).items())


def test_the_loss_asks_for_the_absence_of_tasks_that_cannot_be_there_and_of_no_others() -> None:
    def head_gradient(patches: PatchGroup) -> list[bool]:
        optimization = fresh(TrainingConfig(seed=2, deep_supervision=False))
        optimization.loss(patches).backward()
        gradient = optimization.network.head.bias.grad
        assert gradient is not None
        return (gradient != 0).tolist()

    assert head_gradient(A) == [True] * 5  # B is absent in A's images
    assert head_gradient(B) == [False] * 3 + [True] * 2  # A's structures may be in B's images


def test_deep_supervision_uses_the_coarser_decoder_stages_and_is_not_shipped() -> None:
    optimization = fresh()
    assert set(optimization.auxiliary) == {"decoder1"}
    optimization.loss(B).backward()
    gradient = optimization.auxiliary["decoder1"].weight.grad
    assert gradient is not None
    assert (gradient.abs().sum(dim=(1, 2, 3, 4)) > 0).tolist() == [False] * 3 + [True] * 2
    assert not any("auxiliary" in name for name in optimization.averaged_network().state_dict())
    assert not fresh(TrainingConfig(deep_supervision=False)).auxiliary


def test_the_average_follows_the_weights_with_a_memory_that_grows() -> None:
    optimization = fresh()
    name = "head.weight"
    optimization.train_step([A], 0.0)
    average = optimization.network.state_dict()[name].clone()  # the first value is taken as it is
    for count in (1, 2, 3):
        optimization.train_step([A], 0.0)
        keep = min(CONFIG.ema_decay, (1 + count) / (10 + count))
        average = keep * average + (1 - keep) * optimization.network.state_dict()[name]
    torch.testing.assert_close(optimization.averaged_network().state_dict()[name], average, rtol=1e-4, atol=1e-6)


def moved_parts(optimization: Optimization, groups: list[PatchGroup], progress: float, parts: list[str]) -> list[bool]:
    """Whether a step changes any weight whose name begins so."""
    before = weights(optimization)
    optimization.train_step(groups, progress)
    after = weights(optimization)
    return [any(not torch.equal(after[n], v) for n, v in before.items() if n.startswith(part)) for part in parts]


def test_a_stem_that_a_step_does_not_use_stays_as_it_was_and_does_not_go_on_by_momentum() -> None:
    tasks = (PLAN.tasks[0], replace(PLAN.tasks[1], stem=1))
    plan = Plan(tasks, replace(ARCHITECTURE, stems=(1, 2)))
    optimization = Optimization(plan, CONFIG, torch.device("cpu"))
    pair = PatchGroup(1, B.images.repeat(1, 2, 1, 1, 1), B.labels)
    stems = ["encoder.0.first.", "stems.0."]  # the first one is the encoder's own
    assert moved_parts(optimization, [A], 0.0, stems) == [True, False]
    assert moved_parts(optimization, [pair], 0.0, stems) == [False, True]
    assert moved_parts(optimization, [A, pair], 0.0, stems) == [True, True]


def test_a_part_that_is_held_still_after_some_steps_stays_as_it_was_and_does_not_go_on_by_momentum() -> None:
    recipe = Recipe(frozen=lambda progress: ("encoder.",) if progress >= 0.5 else ())
    optimization = Optimization(PLAN, CONFIG, torch.device("cpu"), recipe)
    parts = ["encoder.", "decoder."]
    assert moved_parts(optimization, [A, B], 0.0, parts) == [True, True]
    assert moved_parts(optimization, [A, B], 0.5, parts) == [False, True]


def test_weight_decay_holds_for_kernels_only() -> None:
    optimization = fresh()
    decayed, free = optimization.optimizer.param_groups
    assert decayed["weight_decay"] == CONFIG.weight_decay
    assert free["weight_decay"] == 0
    assert all(p.ndim == 5 and p[0].numel() > 1 for p in decayed["params"])
    assert all(p.ndim == 1 or p[0].numel() == 1 for p in free["params"])
    every = [*optimization.network.parameters(), *optimization.auxiliary.parameters()]
    assert len(decayed["params"]) + len(free["params"]) == len(every)


def test_the_calibration_term_is_added_with_its_weight_and_left_out_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    def term(logits: torch.Tensor, labels: torch.Tensor, bins: int, binning: str) -> torch.Tensor:
        asked.append((bins, binning))
        return logits.sum() * 0.0 + 2.0

    monkeypatch.setattr("trainer.training.optimization.marginal_ace_loss", term)
    plain = fresh().loss(group(0, 2))
    assert asked == []
    config = replace(CONFIG, calibration_weight=0.25, calibration_bins=7, calibration_binning="hard")
    with_term = fresh(config).loss(group(0, 2))
    assert asked == [(7, "hard")]
    torch.testing.assert_close(with_term, plain + 0.5)
