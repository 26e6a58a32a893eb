"""Patch groups: any of them can be made again from its number, and datasets get their share."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.dataset import Dataset
from trainer.data.patches import PatchGroups, StepRange, dataset_probabilities
from trainer.data.planning import TaskPlan
from trainer.layout.case import Case

PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
CONFIG = TrainingConfig(seed=3, patches_per_group=2, foreground_fraction=0.5)
SHAPE = (10, 40, 40)


def task(name: str, patch: tuple[int, int, int] = (4, 8, 8)) -> TaskPlan:
    dataset = Dataset(Path(name), name, "T1", "head", {1: "a", 2: "b"}, ())
    return TaskPlan(dataset, PROFILE, 0, ("a", "b"), ((1,), (2,)), patch, ())


def prepared(seed: int, shape: tuple[int, int, int] = SHAPE) -> PreparedCase:
    """Noise with two single labelled voxels far apart."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint8)
    points = {1: np.array([[1, 2, 3]], dtype=np.int16), 2: np.array([[s - 2 for s in shape]], dtype=np.int16)}
    for value, found in points.items():
        labels[tuple(found.T)] = value
    case = Case(f"c{seed}", Path("i"), Path("l"), f"g{seed}")
    return PreparedCase(case, rng.random(shape).astype(np.float16), labels, points)


def groups(config: TrainingConfig = CONFIG, counts: tuple[int, ...] = (2, 3)) -> PatchGroups:
    tasks = [task(f"D{n}") for n in range(len(counts))]
    return PatchGroups(tasks, [[prepared(10 * n + c) for c in range(count)] for n, count in enumerate(counts)], config)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_dataset_s_share_grows_as_a_power_of_its_size(exponent: float) -> None:
    counts = [4, 16, 100]
    share = np.array(counts, dtype=float) ** (1 - exponent)
    np.testing.assert_allclose(dataset_probabilities(counts, exponent), share / share.sum())


def test_with_the_square_root_16_cases_weigh_twice_as_much_as_4() -> None:
    np.testing.assert_allclose(dataset_probabilities([4, 16], 0.5), [1 / 3, 2 / 3])


def test_weights_multiply_the_shares() -> None:
    np.testing.assert_allclose(dataset_probabilities([4, 16, 25], 0.5, [1.0, 2.0, 0.4]), np.array([2, 8, 2]) / 12)


def test_a_dataset_of_greater_weight_is_drawn_more_often_and_another_one_keeps_its_share_of_the_rest() -> None:
    weighted = groups(replace(CONFIG, sampling_weights={"D1": 6.0}), counts=(1, 1, 4))
    np.testing.assert_allclose(weighted.probabilities, np.array([1, 6, 2]) / 9)


def test_a_group_depends_on_nothing_but_the_seed_and_its_number() -> None:
    first, second = groups(), groups()
    list(islice((second[i] for i in (9, 4, 7)), 3))
    for number in (0, 5, 11):
        a, b = first[number], second[number]
        assert a.task == b.task
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
    assert not torch.equal(first[0].images, first[1].images)
    other = groups(replace(CONFIG, seed=4))
    assert any(not torch.equal(other[i].images, first[i].images) for i in range(3))


def test_steps_count_on_from_wherever_a_run_starts() -> None:
    whole = list(islice(StepRange(0, 3), 30))
    assert whole == list(range(30))
    assert list(islice(StepRange(4, 3), 18)) == whole[12:]


def test_groups_have_one_task_and_the_patch_shape() -> None:
    for number in range(5):
        group = groups()[number]
        assert group.images.shape == (2, 1, 4, 8, 8)
        assert group.labels.shape == (2, 4, 8, 8)
        assert group.task in (0, 1)


def test_tasks_are_drawn_with_their_probabilities() -> None:
    made = groups(replace(CONFIG, patches_per_group=1), counts=(1, 9))
    drawn = [made[i].task for i in range(200)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.1)  # 9 ** 0.5 : 1, three standard errors


def test_a_case_without_labels_and_one_smaller_than_the_patch_give_patches_too() -> None:
    unlabelled = replace(prepared(1), points={}, labels=np.zeros(SHAPE, dtype=np.uint8))
    small = prepared(2, (3, 5, 6))
    for case in (unlabelled, small):
        group = PatchGroups([task("D")], [[case]], CONFIG)[0]
        assert group.images.shape == (2, 1, 4, 8, 8)
        assert torch.isfinite(group.images).all()


def test_patches_without_rotation_stay_inside_a_larger_case() -> None:
    bright = replace(prepared(3), voxels=np.ones(SHAPE, dtype=np.float16))
    made = PatchGroups([task("D")], [[bright]], CONFIG)
    for number in range(60):
        record = made._record(np.random.default_rng(number), made.tasks[0], bright)
        for centre, patch, n in zip(record.centre_zyx, (4, 8, 8), SHAPE, strict=True):
            assert (patch - 1) / 2 <= centre <= n - 1 - (patch - 1) / 2
