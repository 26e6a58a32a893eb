"""Disagreement of predictions with known answers, crops, and ways to predict several times."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from trainer.ood.detector.disagreement import (
    FOREGROUND_ENTROPY,
    PAIRWISE_DISAGREEMENT,
    SPREAD,
    central_crop,
    disagreement_of,
    dropout_predictions,
    ensemble_predictions,
)
from trainer.tiled.task_logits import task_logits

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((4, 6), ((2, 2, 2),), ((3, 3, 3), (3, 3, 3)), outputs=5)


@dataclass(frozen=True)
class Head:
    """Channels of a task."""

    channels: slice


def logits_of(mask: NDArray[np.bool_], certainty: float = 20.0) -> NDArray[np.float64]:
    """Two classes, sure of the mask."""
    return np.stack([np.where(mask, 0.0, certainty), np.where(mask, certainty, 0.0)])


def blocks(*starts: int) -> list[NDArray[np.bool_]]:
    masks = [np.zeros((4, 8, 8), dtype=bool) for _ in starts]
    for mask, start in zip(masks, starts, strict=True):
        mask[:, start : start + 4] = True
    return masks


def test_identical_predictions_do_not_disagree() -> None:
    prediction = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    spread, pairwise, _ = disagreement_of([prediction] * 4)
    assert spread == pytest.approx(0, abs=1e-12)
    assert pairwise == 0


def test_disjoint_foregrounds_disagree_entirely() -> None:
    a, b = blocks(0, 4)
    assert disagreement_of([logits_of(a), logits_of(b)])[PAIRWISE_DISAGREEMENT] == 1


def test_the_mean_is_over_all_pairs() -> None:
    a, b = blocks(0, 2)  # half of each overlaps: Dice 0.5
    result = disagreement_of([logits_of(a), logits_of(a), logits_of(b)])
    assert result[PAIRWISE_DISAGREEMENT] == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_empty_foregrounds_agree_with_each_other_and_with_nothing_else() -> None:
    full, empty = blocks(0)[0], np.zeros((4, 8, 8), dtype=bool)
    assert disagreement_of([logits_of(empty)] * 2)[PAIRWISE_DISAGREEMENT] == 0
    assert disagreement_of([logits_of(empty), logits_of(full)])[PAIRWISE_DISAGREEMENT] == 1


def test_labels_of_the_foreground_do_not_matter_to_its_overlap() -> None:
    mask = blocks(0)[0]
    absent = np.full((1, *mask.shape), -20.0)
    first = np.concatenate([logits_of(mask), absent])
    assert disagreement_of([first, first[[0, 2, 1]]])[PAIRWISE_DISAGREEMENT] == 0


def test_the_spread_is_the_standard_deviation_of_the_foreground_probability() -> None:
    predictions = [np.log(np.stack([np.full((2, 3, 4), 1 - p), np.full((2, 3, 4), p)])) for p in (0.2, 0.6)]
    assert disagreement_of(predictions)[SPREAD] == pytest.approx(0.2)


def test_the_entropy_is_that_of_the_mean_within_its_foreground() -> None:
    probabilities = np.full((2, 1, 1, 4), 0.5)
    probabilities[1, ..., :2] = (0.8, 0.9)
    probabilities[1, ..., 2:] = 0.1
    probabilities[0] = 1 - probabilities[1]
    result = disagreement_of([np.log(probabilities)] * 2)
    expected = np.mean([-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) for p in (0.8, 0.9)])
    assert result[FOREGROUND_ENTROPY] == pytest.approx(expected)
    assert disagreement_of([np.log(probabilities[::-1, ..., :2])] * 2)[FOREGROUND_ENTROPY] == 0
    assert disagreement_of([logits_of(blocks(0)[0], 1000.0)] * 2)[FOREGROUND_ENTROPY] == pytest.approx(0)


def test_the_order_of_the_predictions_does_not_matter() -> None:
    predictions = list(np.random.default_rng(0).normal(size=(4, 3, 4, 5, 6)))
    np.testing.assert_allclose(disagreement_of(predictions), disagreement_of(predictions[::-1]))


@pytest.mark.parametrize("count", [0, 1])
def test_one_prediction_cannot_disagree(count: int) -> None:
    with pytest.raises(UsageError, match="cannot disagree"):
        disagreement_of([np.zeros((2, 1, 1, 1))] * count)


@settings(deadline=None)
@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.sampled_from([(1, 2, 2), (2, 4, 4), (4, 4, 4)]),
    st.integers(1, 20_000),
    st.tuples(*[st.floats(0, 0.999)] * 3),
)
def test_crops_keep_to_the_limit_and_the_stride_and_show_the_foreground(
    shape: tuple[int, int, int], stride: tuple[int, int, int], limit: int, where: tuple[float, float, float]
) -> None:
    voxels = np.arange(prod(shape), dtype=np.float32).reshape(shape)
    labels = np.zeros(shape, dtype=np.uint8)
    place = tuple(int(share * n) for share, n in zip(where, shape, strict=True))
    labels[place] = 2
    crop = central_crop(voxels, labels, limit, stride)
    assert crop.size <= max(limit, prod(stride))
    assert all(side % s == 0 or side == n for side, n, s in zip(crop.shape, shape, stride, strict=True))
    assert voxels[place] in crop
    corner = np.unravel_index(int(crop[0, 0, 0]), shape)
    part = tuple(slice(int(start), int(start) + side) for start, side in zip(corner, crop.shape, strict=True))
    np.testing.assert_array_equal(crop, voxels[part])


def test_an_image_within_the_limit_stays_whole() -> None:
    voxels = np.random.default_rng(0).random((6, 9, 10), dtype=np.float32)
    np.testing.assert_array_equal(central_crop(voxels, np.zeros(voxels.shape, dtype=int), 1000, (2, 4, 4)), voxels)


def test_without_foreground_the_middle_is_kept() -> None:
    voxels = np.arange(8 * 16 * 16, dtype=np.float32).reshape(8, 16, 16)
    crop = central_crop(voxels, np.zeros(voxels.shape, dtype=int), 512, (4, 4, 4))
    np.testing.assert_array_equal(crop, voxels[:, 4:12, 4:12])


def network(seed: int = 0) -> SegmentationNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SegmentationNetwork(ARCHITECTURE).eval()


VOXELS = np.random.default_rng(0).random((5, 8, 7), dtype=np.float32)
TASK = Head(slice(2, 5))


def dropped(rate: float, seed: int = 0, **more: object) -> list[NDArray[np.float32]]:
    generator = torch.Generator().manual_seed(seed)
    return list(
        dropout_predictions(network(), TASK, VOXELS, device=CPU, generator=generator, rate=rate, **more)  # type: ignore[arg-type]
    )


def test_passes_with_dropout_differ_and_follow_their_generator() -> None:
    first, second, other = dropped(0.2, passes=3), dropped(0.2, passes=3), dropped(0.2, seed=1, passes=3)
    assert [p.shape for p in first] == [(3, *VOXELS.shape)] * 3
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])
    assert disagreement_of(first)[SPREAD] > 0


def test_dropping_nothing_is_the_plain_network() -> None:
    plain = task_logits(network(), VOXELS, TASK, device=CPU)
    np.testing.assert_array_equal(dropped(0.0, passes=2), [plain, plain])


@pytest.mark.parametrize("taken", [1, 10])
def test_the_network_is_as_before_when_the_passes_end_or_are_broken_off(taken: int) -> None:
    tested = network()
    before = task_logits(tested, VOXELS, TASK, device=CPU)
    passes = dropout_predictions(tested, TASK, VOXELS, device=CPU, generator=torch.Generator(), rate=0.5)
    for _, prediction in zip(range(taken), passes, strict=False):
        assert not np.array_equal(prediction, before)
    passes.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(task_logits(tested, VOXELS, TASK, device=CPU), before)
    assert not any(module._forward_hooks for module in tested.modules())


def test_low_precision_changes_little() -> None:
    exact, rough = dropped(0.2, passes=2), dropped(0.2, passes=2, precision=torch.bfloat16)
    np.testing.assert_allclose(rough, exact, atol=0.1)
    assert not np.array_equal(rough, exact)


def test_members_predict_with_their_own_channels() -> None:
    a, b = network(0), network(1)
    members = [(a, TASK), (b, Head(slice(0, 3)))]
    first, second = ensemble_predictions(members, VOXELS, device=CPU)
    np.testing.assert_array_equal(first, task_logits(a, VOXELS, TASK, device=CPU))
    np.testing.assert_array_equal(second, task_logits(b, VOXELS, Head(slice(0, 3)), device=CPU))
    same = disagreement_of(ensemble_predictions([(a, TASK)] * 3, VOXELS, device=CPU))
    np.testing.assert_allclose(same[:2], 0, atol=1e-12)
