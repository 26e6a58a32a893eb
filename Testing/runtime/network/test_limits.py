"""When another back end is as good as plain torch, and how much is worked on at a time: numbers as promised."""

from __future__ import annotations

import pytest
import torch

from MultiTaskSegLib.runtime.network.backend_choice import agrees
from MultiTaskSegLib.runtime.network.network_stream import slab_voxels_for
from MultiTaskSegLib.runtime.network.stage_stream import compact_dtype


def logits() -> torch.Tensor:
    """Two classes and 20 000 voxels; the second class is just ahead, and the largest logit is 1."""
    found = torch.zeros((2, 20, 100, 10))
    found[1] = 1e-5
    found[1, 0, 0, 0] = 1.0
    return found


@pytest.mark.parametrize(("voxels", "expected"), [(1, True), (3, False)])
def test_one_label_in_ten_thousand_may_fall_the_other_way(voxels: int, expected: bool) -> None:
    found = logits()
    found[0, 5, 0, :voxels] = 2e-5
    assert agrees(found, logits()) == expected


@pytest.mark.parametrize(("error", "expected"), [(0.99e-3, True), (1.01e-3, False), (-1.01e-3, False)])
def test_logits_may_differ_by_a_thousandth_of_the_largest(error: float, expected: bool) -> None:
    assert agrees(logits() + error, logits()) == expected
    assert agrees(50 * (logits() + error), 50 * logits()) == expected


def test_a_card_works_on_twenty_times_as_many_voxels_as_the_processor() -> None:
    assert slab_voxels_for(torch.device("cpu")) == 200_000
    assert slab_voxels_for(torch.device("cuda")) == 4_000_000


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_values_up_to_65504_wait_in_half_precision(sign: float) -> None:
    assert compact_dtype(torch.tensor([0.0, sign * 65_504.0])) == torch.float16
    assert compact_dtype(torch.tensor([0.0, sign * 65_505.0])) == torch.float32
