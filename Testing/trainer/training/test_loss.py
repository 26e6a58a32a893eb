"""The loss in closed form, and what it asks of tasks that are not labelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data.label_resampling import resample_labels
from trainer.training.loss import (
    MANY_CLASSES,
    absence_loss,
    coarse_labels,
    masks_of,
    region_loss,
    segmentation_loss,
    soft_dice_loss,
    split_by_task,
)


@dataclass(frozen=True)
class Start:
    """All that `split_by_task` looks at."""

    start: int


def logits_for(probabilities: list[list[float]]) -> Tensor:
    """``(1, C, 1, 1, N)`` whose softmax gives ``probabilities[voxel][class]``."""
    return torch.tensor(probabilities, dtype=torch.float64).log().T[None, :, None, None, :]


def labels_of(*values: int) -> Tensor:
    return torch.tensor(values)[None, None, None, :]


def test_soft_dice_of_two_voxels_worked_out_by_hand() -> None:
    logits = logits_for([[0.2, 0.8], [0.7, 0.3]])
    # Overlap 0.8; sizes 0.8 + 0.3 and 1.
    assert float(soft_dice_loss(logits, labels_of(1, 0))) == pytest.approx(1 - 2 * 0.8 / 2.1)


def test_soft_dice_is_the_mean_over_the_labels_that_are_present() -> None:
    logits = logits_for([[0.1, 0.6, 0.3, 0.0], [0.2, 0.2, 0.5, 0.1]])
    first = 2 * 0.6 / (0.8 + 1)
    second = 2 * 0.5 / (0.8 + 1)
    assert float(soft_dice_loss(logits, labels_of(1, 2))) == pytest.approx(1 - (first + second) / 2)


def test_a_label_without_a_voxel_is_left_out_of_the_dice_term() -> None:
    random = torch.randn((2, 3, 2, 3, 4), generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.randint(0, 2, (2, 2, 3, 4), generator=torch.Generator().manual_seed(2))
    shares = random.softmax(dim=1)[:, 1]
    truth = (labels == 1).float()
    expected = 1 - 2 * (shares * truth).sum() / (shares.sum() + truth.sum())
    torch.testing.assert_close(soft_dice_loss(random, labels), expected)


def test_perfect_and_opposite_answers_have_dice_loss_0_and_1() -> None:
    labels = torch.randint(0, 3, (2, 2, 3, 4), generator=torch.Generator().manual_seed(2))
    right = 50.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    wrong = 50.0 * torch.nn.functional.one_hot((labels + 1) % 3, 3).movedim(-1, 1)
    assert float(soft_dice_loss(right, labels)) == pytest.approx(0.0, abs=1e-6)
    assert float(soft_dice_loss(wrong, labels)) == pytest.approx(1.0, abs=1e-6)


def test_background_alone_has_no_dice_loss_but_a_gradient_of_zero() -> None:
    logits = torch.randn((1, 3, 2, 2, 2), requires_grad=True, generator=torch.Generator().manual_seed(1))
    loss = soft_dice_loss(logits, torch.zeros((1, 2, 2, 2), dtype=torch.long))
    assert float(loss.detach()) == 0.0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_whole_loss_is_the_weighted_sum() -> None:
    logits = logits_for([[0.2, 0.8], [0.7, 0.3]])
    labels = labels_of(1, 0)
    entropy = -(np.log(0.8) + np.log(0.7)) / 2
    dice = 1 - 2 * 0.8 / 2.1
    found = segmentation_loss(logits, labels, cross_entropy_weight=2.0, dice_weight=3.0)
    assert float(found) == pytest.approx(2 * entropy + 3 * dice)
    assert float(segmentation_loss(logits, labels, dice_weight=0.0)) == pytest.approx(entropy)


def test_absence_costs_the_negative_logarithm_of_the_background_share() -> None:
    one = logits_for([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]])
    other = logits_for([[0.9, 0.1], [0.9, 0.1]])
    expected = 0.5 * (-(np.log(0.5) + np.log(0.8)) / 2 - np.log(0.9))
    assert float(absence_loss([one, other], like=one)) == pytest.approx(expected)


def test_tasks_that_may_share_structures_get_no_gradient() -> None:
    logits = torch.randn((1, 6, 2, 2, 2), requires_grad=True, generator=torch.Generator().manual_seed(1))
    own, shared, absent = split_by_task(logits, [Start(0), Start(2), Start(4)])  # type: ignore[list-item]
    labels = torch.ones((1, 2, 2, 2), dtype=torch.long)
    (segmentation_loss(own, labels) + absence_loss([absent], like=own)).backward()
    assert logits.grad is not None
    touched = logits.grad.abs().sum(dim=(0, 2, 3, 4)) > 0
    assert touched.tolist() == [True, True, False, False, True, True]
    assert shared.shape == (1, 2, 2, 2, 2)


def test_without_absent_tasks_absence_costs_nothing() -> None:
    like = torch.randn((1, 2, 2, 2, 2), requires_grad=True, generator=torch.Generator().manual_seed(1))
    loss = absence_loss([], like=like)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert like.grad is not None
    assert not like.grad.any()


def test_each_task_gets_its_own_channels_in_its_own_order() -> None:
    logits = torch.arange(6.0).view(1, 6, 1, 1, 1)
    parts = split_by_task(logits, [Start(4), Start(0), Start(1)])  # type: ignore[list-item]
    assert [part.flatten().tolist() for part in parts] == [[4.0, 5.0], [0.0], [1.0, 2.0, 3.0]]


def test_tasks_of_a_shared_head_get_the_same_channels() -> None:
    logits = torch.arange(2.0).view(1, 2, 1, 1, 1)
    first, second = split_by_task(logits, [Start(0), Start(0)])  # type: ignore[list-item]
    assert torch.equal(first, second)
    assert torch.equal(first, logits)


@pytest.mark.parametrize("classes", [2, MANY_CLASSES - 1, MANY_CLASSES, 40])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_loss_and_gradient_are_those_of_one_hot_maps_for_few_and_many_classes(
    classes: int, layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn((2, classes, 3, 5, 4), generator=generator, dtype=torch.float64).contiguous(
        memory_format=layout
    )
    labels = torch.randint(0, classes, (2, 3, 5, 4), generator=generator)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    segmentation_loss(ours, labels, cross_entropy_weight=0.7, dice_weight=1.3).backward()
    shares, truth = theirs.softmax(dim=1), torch.nn.functional.one_hot(labels, classes).movedim(-1, 1)
    sums = [values.sum(dim=(0, 2, 3, 4))[1:] for values in (shares * truth, shares, truth)]
    present = sums[2] > 0
    dice = (2 * sums[0] / (sums[1] + sums[2]))[present].mean()
    (0.7 * torch.nn.functional.cross_entropy(theirs, labels) + 1.3 * (1 - dice)).backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2), (2, 4, 4)])
def test_labels_of_coarser_maps_are_those_that_cover_most_of_each_cell(stride: tuple[int, int, int]) -> None:
    labels = torch.randint(0, 4, (2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    shape = tuple(n // s for n, s in zip((4, 8, 8), stride, strict=True))
    expected = np.stack([resample_labels(part, shape) for part in labels.numpy()])
    np.testing.assert_array_equal(coarse_labels(labels, stride, 4), expected)
    mirrored = coarse_labels(labels.flip(3), stride, 4)
    assert torch.equal(mirrored, coarse_labels(labels, stride, 4).flip(3))


def test_a_region_shows_where_a_label_map_has_any_of_its_values_in_whatever_order_they_are_named() -> None:
    labels = labels_of(0, 1, 2, 5, 5, 0)
    found = masks_of(labels, ((1, 5), (5, 2), (2,)))
    expected = [[0, 1, 0, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0]]
    assert found.shape == (1, 3, 1, 1, 6)
    np.testing.assert_array_equal(found[0, :, 0, 0].numpy(), expected)


def test_the_loss_of_regions_is_the_cross_entropy_of_each_and_the_dice_of_those_that_are_there() -> None:
    shares = torch.tensor([[0.9, 0.2, 0.6], [0.3, 0.1, 0.4]], dtype=torch.float64)
    masks = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    logits = torch.logit(shares)[None, :, None, None, :]
    entropy = -(masks * shares.log() + (1 - masks) * (1 - shares).log()).mean()
    # Of the first region: the shares where it is, all of them, and two voxels; the second one is nowhere.
    dice = 2 * (0.9 + 0.6) / ((0.9 + 0.2 + 0.6) + 2)
    found = region_loss(logits, masks[None, :, None, None, :].bool(), cross_entropy_weight=0.7, dice_weight=1.3)
    assert float(found) == pytest.approx(0.7 * float(entropy) + 1.3 * (1 - dice), rel=1e-6)
    plain = region_loss(logits, masks[None, :, None, None, :].bool())
    assert float(plain) == pytest.approx(float(entropy) + 1 - dice, rel=1e-6)
    nowhere = region_loss(logits, torch.zeros_like(logits, dtype=torch.bool), cross_entropy_weight=0.0)
    assert float(nowhere) == 0
