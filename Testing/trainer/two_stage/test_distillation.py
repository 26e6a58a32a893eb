"""The distillation term: averages stay probabilities, the loss is smallest where student and teachers agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.runtime.random_network import random_network
from trainer.pretraining.pretext.pretext import PretextBatch
from trainer.training.loss import soft_dice_loss
from trainer.training.weight_standardization import initialize
from trainer.two_stage.distillation import (
    Distillation,
    average_teachers,
    soft_dice,
    soft_divergence,
)

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((4, 6), ((1, 2, 2),), ((1, 3, 3),) * 2, 3)


def logits(seed: int, classes: int = 3, teachers: int = 0) -> Tensor:
    shape = (2, classes, 1, 4, 6)
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn((teachers, *shape) if teachers else shape, generator=generator)


@pytest.mark.parametrize("weighting", ["uniform", "per-class", "per-voxel"])
def test_the_average_of_teachers_is_a_probability_between_them(weighting: str) -> None:
    teachers = torch.softmax(logits(1, teachers=4), dim=2)
    weights = torch.rand((4, 3), generator=torch.Generator().manual_seed(2))
    mean = average_teachers(teachers, weighting, weights)  # type: ignore[arg-type]
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(2, 1, 4, 6))
    assert float(mean.min()) >= 0
    twins = teachers[:1].expand_as(teachers)
    torch.testing.assert_close(average_teachers(twins, weighting, weights), teachers[0])  # type: ignore[arg-type]


def test_teachers_that_are_weighted_alike_give_the_plain_mean() -> None:
    teachers = torch.softmax(logits(1, teachers=4), dim=2)
    plain = teachers.mean(dim=0)
    torch.testing.assert_close(average_teachers(teachers, "uniform"), plain)
    torch.testing.assert_close(average_teachers(teachers, "per-class", torch.full((4, 3), 0.7)), plain)


def test_a_teacher_that_knows_nothing_is_not_listened_to_per_voxel() -> None:
    sure = torch.softmax(20 * logits(3), dim=1)
    clueless = torch.full_like(sure, 1 / 3)
    mean = average_teachers(torch.stack([sure, clueless]), "per-voxel")
    certain = sure.amax(dim=1, keepdim=True) > 0.999
    torch.testing.assert_close(mean[certain.expand_as(mean)], sure[certain.expand_as(mean)], atol=0.01, rtol=0)
    assert float((average_teachers(torch.stack([sure, clueless]), "uniform") - sure).abs().max()) > 0.3


def test_a_teacher_is_weighed_at_a_voxel_by_how_much_of_the_greatest_entropy_it_lacks() -> None:
    teachers = np.array([[0.8, 0.1, 0.1], [0.4, 0.35, 0.25]])
    sureness = 1 - entropy(teachers, axis=1, base=3)
    expected = sureness @ teachers / sureness.sum()
    probabilities = torch.tensor(teachers)[:, None, :, None, None, None]
    np.testing.assert_allclose(average_teachers(probabilities, "per-voxel")[0, :, 0, 0, 0], expected, rtol=1e-6)


def test_teachers_that_are_worth_nothing_for_a_label_are_heard_alike() -> None:
    teachers = torch.softmax(logits(1, teachers=2), dim=2)
    torch.testing.assert_close(average_teachers(teachers, "per-class", torch.zeros(2, 3)), teachers.mean(dim=0))


def test_the_loss_is_the_softened_divergence_times_the_temperature_squared_and_the_plain_dice() -> None:
    teachers, student = [random_network(ARCHITECTURE, seed) for seed in (1, 2)], random_network(ARCHITECTURE, 3)
    images = torch.rand((2, 1, 1, 8, 8), generator=torch.Generator().manual_seed(4))
    term = Distillation(teachers, None, 0.7, 3.0)  # type: ignore[arg-type]
    with torch.no_grad():
        found = float(term.loss(student, PretextBatch(images), CPU))
        answers, logits_found = [teacher(images) for teacher in teachers], student(images)
    soft, plain = (torch.stack([torch.softmax(a / t, dim=1) for a in answers]).mean(dim=0) for t in (3.0, 1.0))
    own = torch.softmax(logits_found / 3.0, dim=1)
    divergence = float(entropy(soft.numpy(), own.numpy(), axis=1).mean())
    assert found == pytest.approx(
        9 * divergence + float(soft_dice(torch.softmax(logits_found, dim=1), plain)), rel=1e-4
    )
    assert [term.weight(share) for share in (0.0, 1.0)] == [0.7, 0.7]


@pytest.mark.parametrize("highest, counts", [(0.3, False), (0.49, False), (0.51, True), (0.7, True)])
def test_a_label_counts_for_dice_where_teachers_find_it_likelier_than_not_somewhere(
    highest: float, counts: bool
) -> None:
    target = torch.zeros((1, 3, 1, 2, 2))
    target[:, 1, 0, 0, 0] = highest
    target[:, 0] = 1 - target[:, 1]
    student = torch.full_like(target, 1 / 3)
    # One voxel of `highest`, four of a third: the distance over the sum of both sizes.
    expected = (abs(highest - 1 / 3) + 3 / 3) / (highest + 4 / 3) if counts else 0.0
    assert float(soft_dice(student, target)) == pytest.approx(expected)


def test_the_better_teacher_of_a_label_counts_more_for_it() -> None:
    teachers = torch.softmax(logits(1, teachers=2), dim=2)
    weights = torch.tensor([[0.5, 0.9, 0.5], [0.5, 0.1, 0.5]])
    mean = average_teachers(teachers, "per-class", weights)
    # Relative odds of label 1 and label 2 tell the weights apart, whatever the normalisation.
    odds = (0.9 * teachers[0, :, 1] + 0.1 * teachers[1, :, 1]) / (0.5 * teachers[:, :, 2].sum(dim=0))
    torch.testing.assert_close(mean[:, 1] / mean[:, 2], odds)


def test_the_divergence_is_that_of_scipy_and_0_where_both_agree() -> None:
    student, target = logits(4), torch.softmax(logits(5), dim=1)
    expected = entropy(target.numpy(), torch.softmax(student, dim=1).numpy(), axis=1).mean()
    assert float(soft_divergence(student, target)) == pytest.approx(float(expected), rel=1e-5)
    assert float(soft_divergence(student, torch.softmax(student, dim=1))) == pytest.approx(0, abs=1e-6)
    hard = torch.nn.functional.one_hot(target.argmax(dim=1), 3).movedim(-1, 1).float()
    cross_entropy = torch.nn.functional.cross_entropy(student, target.argmax(dim=1))
    assert float(soft_divergence(student, hard)) == pytest.approx(float(cross_entropy), rel=1e-5)


def test_dice_for_soft_targets_is_that_of_labels_where_targets_are_hard_and_0_where_both_agree() -> None:
    student = logits(6)
    labels = logits(7).argmax(dim=1)
    hard = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    probabilities = torch.softmax(student, dim=1)
    assert float(soft_dice(probabilities, hard)) == pytest.approx(float(soft_dice_loss(student, labels)), rel=1e-5)
    assert float(soft_dice(probabilities, probabilities)) == 0
    # The product form of the Dice loss would prefer something harder than a soft target.
    sharper = torch.softmax(1.5 * student, dim=1)
    assert float(soft_dice(sharper, probabilities)) > 0
    background = torch.zeros_like(hard)
    background[:, 0] = 1
    assert float(soft_dice(probabilities, background)) == 0


def test_a_student_learns_what_its_teachers_say_from_images_alone() -> None:
    teachers = [random_network(ARCHITECTURE, seed) for seed in (1, 2)]
    student = SegmentationNetwork(ARCHITECTURE)
    initialize(student, torch.Generator().manual_seed(3))
    images = torch.rand((4, 1, 1, 12, 12), generator=torch.Generator().manual_seed(4))
    term = Distillation(teachers, None, 1.0, 2.0)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    before = [t.detach().clone() for teacher in teachers for t in teacher.parameters()]
    losses = []
    for _ in range(40):
        loss = term.loss(student, PretextBatch(images), CPU)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, (p for t in teachers for p in t.parameters()), strict=True))
    assert np.isfinite(losses).all()
