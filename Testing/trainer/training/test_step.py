"""One step in closed form: what the loss is made of, what the gradient becomes, what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.network.architecture import Architecture
from trainer.config import TrainingConfig
from trainer.data.dataset import Dataset
from trainer.data.label_resampling import resample_labels
from trainer.data.patches import PatchGroup
from trainer.data.planning import Plan, TaskPlan
from trainer.training.loss import soft_dice_loss
from trainer.training.optimization import Optimization

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
ARCHITECTURE = Architecture((3, 4, 5, 5), ((1, 2, 2), (2, 2, 2), (1, 2, 2)), ((3, 3, 3),) * 4, 7)
CONFIG = TrainingConfig(
    seed=2, warmup_steps=2, learning_rate=1e-2, cross_entropy_weight=0.7, dice_weight=1.5, absence_weight=0.3
)


def task(name: str, start: int, labels: int, absent: tuple[int, ...]) -> TaskPlan:
    dataset = Dataset(Path(name), name, "T1", "head", {}, ())
    names = tuple(f"l{n}" for n in range(labels))
    return TaskPlan(dataset, PROFILE, start, names, tuple((n + 1,) for n in range(labels)), (4, 16, 16), absent)


PLAN = Plan((task("A", 0, 2, (1, 2)), task("B", 3, 1, ()), task("C", 5, 1, ())), ARCHITECTURE)


def fresh(config: TrainingConfig = CONFIG) -> Optimization:
    return Optimization(PLAN, config, torch.device("cpu"))


def group(number: int, labels: int, seed: int = 1) -> PatchGroup:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, labels + 1, (2, 4, 16, 16), generator=generator)
    images = 0.4 * truth[:, None].float() + 0.1 * torch.rand((2, 1, 4, 16, 16), generator=generator)
    return PatchGroup(number, images, truth)


A, B = group(0, 2), group(1, 1)


def test_the_loss_is_that_of_all_resolutions_by_halves_and_of_what_cannot_be_there() -> None:
    optimization = fresh()
    assert set(optimization.auxiliary) == {"decoder1", "decoder2"}
    with torch.no_grad():
        maps = optimization.network.features(A.images)
        finest = optimization.network.head(maps["decoder0"])

        def segmentation(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return 0.7 * functional.cross_entropy(logits, labels) + 1.5 * soft_dice_loss(logits, labels)

        halved, quartered = (
            torch.from_numpy(np.stack([resample_labels(labels, shape) for labels in A.labels.numpy()]))
            for shape in ((4, 8, 8), (2, 4, 4))
        )
        coarse = {name: head(maps[name])[:, :3] for name, head in optimization.auxiliary.items()}
        own = (
            segmentation(finest[:, :3], A.labels)
            + 0.5 * segmentation(coarse["decoder1"], halved)
            + 0.25 * segmentation(coarse["decoder2"], quartered)
        ) / 1.75
        background = torch.zeros_like(A.labels)
        absent = sum(functional.cross_entropy(finest[:, c : c + 2], background) for c in (3, 5)) / 2
        torch.testing.assert_close(optimization.loss(A), own + 0.3 * absent)
        # B asks nothing of the others.
        plain = fresh(replace(CONFIG, deep_supervision=False))
        logits = plain.network.head(plain.network.features(B.images)["decoder0"])[:, 3:5]
        torch.testing.assert_close(plain.loss(B), segmentation(logits, B.labels))


def test_a_step_s_loss_and_gradient_are_means_over_its_groups() -> None:
    first, second = (float(fresh().loss(patches).detach()) for patches in (A, B))
    assert fresh().train_step([A, B], 0.0)["loss"] == pytest.approx((first + second) / 2, rel=1e-5)
    once, twice = fresh().train_step([A], 0.0), fresh().train_step([A, A], 0.0)
    assert once["gradient_norm"] == pytest.approx(twice["gradient_norm"], rel=1e-4)


@pytest.mark.parametrize("share, is_cut", [(0.5, True), (2.0, False)])
def test_a_gradient_that_is_too_long_is_cut_to_the_limit_and_a_short_one_is_left(
    monkeypatch: pytest.MonkeyPatch, share: float, is_cut: bool
) -> None:
    length = fresh().train_step([A], 0.0)["gradient_norm"]
    optimization, used = fresh(replace(CONFIG, gradient_clip=share * length)), []
    parameters = [p for g in optimization.optimizer.param_groups for p in g["params"]]
    monkeypatch.setattr(
        optimization.optimizer,
        "step",
        lambda: used.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm())),
    )
    record = optimization.train_step([A], 0.0)
    assert record["gradient_norm"] == pytest.approx(length, rel=1e-5)  # what is logged is the length before
    assert used == pytest.approx([share * length if is_cut else length], rel=1e-3)


def test_every_parameter_learns_at_the_rate_that_is_logged() -> None:
    optimization = fresh()
    for step, (progress, expected) in enumerate([(0.0, 0.5e-2), (0.0, 1e-2), (0.5, 0.5e-2), (1.0, 0.0)]):
        assert optimization.step == step
        record = optimization.train_step([A], progress)
        assert record["lr"] == pytest.approx(expected, abs=1e-9)
        assert [g["lr"] for g in optimization.optimizer.param_groups] == pytest.approx([expected] * 2, abs=1e-9)


def test_another_seed_begins_with_other_weights_of_network_and_auxiliary_heads() -> None:
    first, same, other = fresh(), fresh(), fresh(replace(CONFIG, seed=3))
    for part in ("network", "auxiliary"):
        states = [getattr(o, part).state_dict() for o in (first, same, other)]
        kernels = [name for name, value in states[0].items() if value.ndim == 5 and value[0].numel() > 1]
        assert kernels
        assert all(torch.equal(states[0][name], states[1][name]) for name in kernels)
        assert any(not torch.equal(states[0][name], states[2][name]) for name in kernels)
