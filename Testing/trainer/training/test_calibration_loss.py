"""mL1-ACE on bins worked out by hand, and its gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.training.calibration_loss import marginal_ace_loss

DOUBLE = torch.float64


def logits_for(probabilities: list[list[float]]) -> Tensor:
    """``(1, C, 1, 1, N)`` whose softmax gives ``probabilities[voxel][class]``."""
    return torch.tensor(probabilities, dtype=DOUBLE).log().T[None, :, None, None, :]


def binary(*foreground: float) -> Tensor:
    return logits_for([[1 - p, p] for p in foreground])


def labels_of(*values: int) -> Tensor:
    return torch.tensor(values)[None, None, None, :]


def test_hard_bins_worked_out_by_hand() -> None:
    # Two bins: 0.1 and 0.3 (no foreground) in the first, 0.8 and 0.9 (one foreground) in the second.
    found = marginal_ace_loss(binary(0.1, 0.3, 0.8, 0.9), labels_of(0, 0, 1, 0), bins=2, binning="hard")
    assert float(found) == pytest.approx((0.2 + 0.35) / 2)


def test_soft_bins_worked_out_by_hand() -> None:
    # Two bins with centres 0.25 and 0.75: 0.5 belongs to both by half, 0.1 and 0.9 to one alone.
    found = marginal_ace_loss(binary(0.1, 0.5, 0.9), labels_of(0, 1, 1), bins=2, binning="soft")
    low = abs(0.1 + 0.5 * (0.5 - 1)) / 1.5
    high = abs(0.5 * (0.5 - 1) + (0.9 - 1)) / 1.5
    assert float(found) == pytest.approx((low + high) / 2)


@pytest.mark.parametrize("binning", ["soft", "hard"])
def test_empty_bins_do_not_count(binning: str) -> None:
    few, many = (
        marginal_ace_loss(binary(0.95, 0.95), labels_of(1, 0), bins=bins, binning=binning)  # type: ignore[arg-type]
        for bins in (1, 10)
    )
    assert float(few) == pytest.approx(0.45)
    assert float(many) == pytest.approx(0.45)


def test_each_label_is_a_binary_problem_and_the_background_none() -> None:
    logits = logits_for([[0.7, 0.1, 0.2], [0.7, 0.1, 0.2]])
    found = marginal_ace_loss(logits, labels_of(0, 2), bins=1, binning="hard")
    assert float(found) == pytest.approx((abs(0.1 - 0.0) + abs(0.2 - 0.5)) / 2)


def test_images_of_a_batch_are_judged_apart() -> None:
    together = torch.cat([binary(0.9, 0.9), binary(0.1, 0.1)])
    labels = torch.cat([labels_of(0, 0), labels_of(1, 1)])
    # Pooled, one bin would have a mean probability of 0.5 and a share of 0.5: no error at all.
    assert float(marginal_ace_loss(together, labels, bins=1, binning="hard")) == pytest.approx(0.9)


@pytest.mark.parametrize("binning", ["soft", "hard"])
def test_labels_drawn_from_the_probabilities_cost_almost_nothing(binning: str) -> None:
    generator = torch.Generator().manual_seed(3)
    share = torch.rand(200_000, generator=generator, dtype=DOUBLE).clamp(1e-6, 1 - 1e-6)
    labels = (torch.rand(200_000, generator=generator, dtype=DOUBLE) < share).long()[None, None, None]
    logits = torch.stack([(1 - share).log(), share.log()])[None, :, None, None]
    right = marginal_ace_loss(logits, labels, binning=binning)  # type: ignore[arg-type]
    sharp = marginal_ace_loss(4 * logits, labels, binning=binning)  # type: ignore[arg-type]
    assert float(right) < 0.006
    assert float(sharp) > 0.1


@pytest.mark.parametrize("binning", ["soft", "hard"])
def test_the_gradient_is_that_of_finite_differences(binning: str) -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn((2, 3, 2, 3, 4), generator=generator, dtype=DOUBLE, requires_grad=True)
    labels = torch.randint(0, 3, (2, 2, 3, 4), generator=generator)
    loss = lambda values: marginal_ace_loss(values, labels, bins=3, binning=binning)  # type: ignore[arg-type]  # noqa: E731
    assert torch.autograd.gradcheck(loss, (logits,), eps=1e-7, atol=1e-5)


def test_a_step_against_the_gradient_makes_overconfident_probabilities_less_so() -> None:
    logits = 6 * torch.tensor([[-1.0, 1.0]] * 10, dtype=DOUBLE).T[None, :, None, None, :]
    logits.requires_grad_(True)
    loss = marginal_ace_loss(logits, labels_of(*[1] * 7, *[0] * 3))
    loss.backward()
    assert logits.grad is not None
    after = marginal_ace_loss((logits - 100 * logits.grad).detach(), labels_of(*[1] * 7, *[0] * 3))
    assert float(after) < float(loss.detach())


@pytest.mark.parametrize("binning", ["soft", "hard"])
def test_certain_and_right_answers_cost_nothing_and_give_finite_gradients(binning: str) -> None:
    labels = labels_of(0, 1, 1)
    logits = (1000.0 * torch.nn.functional.one_hot(labels, 2).movedim(-1, 1)).requires_grad_(True)
    loss = marginal_ace_loss(logits, labels, binning=binning)  # type: ignore[arg-type]
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
