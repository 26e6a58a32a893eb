"""The published loss against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from trainer.paper_network.loss import SMOOTH, foreground_dice_loss


def logits(shares: list[float]) -> torch.Tensor:
    """Of foreground probabilities, ``(1, 2, 1, 1, X)``."""
    foreground = torch.tensor(shares, dtype=torch.float64)
    return torch.stack([torch.log(1 - foreground), torch.log(foreground)])[None, :, None, None]


def test_it_is_one_minus_twice_the_overlap_over_the_sum_of_both() -> None:
    truth = torch.tensor([[[[1, 1, 0, 0]]]])
    loss = foreground_dice_loss(logits([0.8, 0.4, 0.3, 0.1]), truth)
    assert float(loss) == pytest.approx(1 - (2 * (0.8 + 0.4) + SMOOTH) / (1.6 + 2 + SMOOTH))


def test_a_dataset_of_several_labels_counts_as_one_foreground() -> None:
    one, several = torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 3, 0, 0]]]])
    given = logits([0.8, 0.4, 0.3, 0.1])
    assert float(foreground_dice_loss(given, one)) == float(foreground_dice_loss(given, several))


def test_without_foreground_the_loss_is_near_one() -> None:
    assert float(foreground_dice_loss(logits([0.5, 0.5]), torch.zeros(1, 1, 1, 2))) == pytest.approx(1.0, abs=1e-4)
