"""Memories of cells on invented features whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.cell_reference import TAIL_SHARES, cell_tensors
from trainer.reference.cell_fitting import CellSamples, _units, fit_memories, fit_memory, new_samples

FEATURES = 5


def grid(rng: np.random.Generator, shape: tuple[int, int, int] = (4, 12, 12), spread: float = 1.0) -> np.ndarray:
    mixing = np.array([[3.0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0.1, 0, 0], [0, 0, 0, 7, 2], [0, 0, 0, 0, 1]])
    drawn = rng.normal(size=(*shape, FEATURES)) @ (spread * mixing) + np.arange(FEATURES)
    return np.moveaxis(drawn, -1, 0).astype(np.float32)


def filled(training: int = 6, held_out: int = 3, seed: int = 0) -> CellSamples:
    samples, rng = new_samples(1, seed)[0], np.random.default_rng(5)
    for number in range(training + held_out):
        samples.add(grid(rng), f"p{number}", number >= training)
    return samples


def test_after_the_projection_cells_have_unit_spread_in_all_directions() -> None:
    memory = fit_memory(filled(), 3000)
    np.testing.assert_allclose(np.cov(memory.memory.astype(float).T), np.eye(FEATURES), atol=0.12)


def test_a_feature_that_never_varies_is_left_out_however_it_is_rounded() -> None:
    rng = np.random.default_rng(5)
    samples = new_samples(1)[0]
    plain = filled()
    for number in range(9):
        image = grid(rng)
        constant = np.full((1, *image.shape[1:]), -4.6051702 if number < 6 else -4.6051698, dtype=np.float32)
        samples.add(np.concatenate((image, constant)), f"p{number}", number >= 6)
    with_constant, without = fit_memory(samples, 2000), fit_memory(plain, 2000)
    np.testing.assert_array_equal(with_constant.projection[FEATURES], 0.0)
    np.testing.assert_allclose(with_constant.quantiles, without.quantiles, atol=0.1)


def test_new_cells_of_the_same_kind_are_rare_as_often_as_the_map_says() -> None:
    memory = fit_memory(filled(held_out=8), 2000)
    rng = np.random.default_rng(77)
    values = np.stack([memory.rarity(grid(rng)) for _ in range(8)])
    for decades in (0.3, 1.0, 2.0):
        assert np.log10((values >= decades).mean()) == pytest.approx(-decades, abs=0.2)


def test_cells_of_another_kind_are_rarer() -> None:
    memory = fit_memory(filled(), 2000)
    rng = np.random.default_rng(78)
    assert memory.rarity(grid(rng, spread=3.0)).mean() > 3 * memory.rarity(grid(rng)).mean()


def test_the_unit_of_a_cell_comes_from_other_groups() -> None:
    samples, rng = CellSamples(np.random.default_rng(0)), np.random.default_rng(1)
    # Each group's cells lie on one spot of its own; within a group all distances are nearly 0.
    for number, place in enumerate((0.0, 10.0, 20.0)):
        samples.add(np.full((1, 1, 10, 10), place) + 0.01 * rng.normal(size=(1, 1, 10, 10)), f"p{number}", False)
    samples.add(np.full((1, 1, 4, 4), 10.0), "new", True)
    memory = fit_memory(samples, 300)
    steps = 10.0 * memory.projection[0, 0]
    np.testing.assert_allclose(memory.units.astype(float), steps, rtol=0.01)


def test_cells_that_coincide_get_the_lower_quartile_of_the_other_units() -> None:
    samples, rng = CellSamples(np.random.default_rng(0)), np.random.default_rng(1)
    for number in range(4):
        image = grid(rng)
        image[:, :2] = 0.0  # empty background
        samples.add(image, f"p{number}", number == 3)
    memory = fit_memory(samples, 2000)
    units = memory.units.astype(float)
    background = np.ptp(np.abs(memory.memory.astype(float) - memory.memory[units == units.min()][0]), axis=1) < 1e-6
    assert units.min() > 0.05
    assert (units == units.min())[background].all()


def test_the_same_seed_gives_the_same_memory_and_another_seed_another() -> None:
    first, again, other = (fit_memory(filled(seed=s), 200) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.memory, again.memory)
    assert not np.array_equal(first.memory, other.memory)


def test_few_cells_of_an_image_and_few_held_out_images_are_kept() -> None:
    samples, rng = new_samples(1)[0], np.random.default_rng(0)
    for kept in (*range(1, 13), 12, 12):
        samples.add(grid(rng), f"p{kept}", True)
        assert len(samples.held_out) == kept
    for cells in ((1, 27, 37), (1, 25, 40), (1, 7, 143)):  # 999, 1000 and 1001
        samples.add(grid(rng, cells), "training", False)
    assert [len(rows) for rows in samples.rows] == [999, 1000, 1000]


def test_many_tasks_share_the_limit() -> None:
    rng = np.random.default_rng(0)
    samples = new_samples(30)
    for sample in samples:
        for number in range(3):
            sample.add(rng.normal(size=(12, 4, 16, 16)).astype(np.float32), f"p{number}", number == 2)
    tensors = cell_tensors(fit_memories(samples))
    stored = sum(t.numel() * t.element_size() for n, t in tensors.items() if n.endswith(("memory", "units")))
    assert 990_000 < stored <= 1_000_000


def test_one_task_alone_remembers_no_more_cells_than_are_quickly_compared() -> None:
    rng = np.random.default_rng(0)
    samples = new_samples(1)
    for number in range(7):
        samples[0].add(rng.normal(size=(12, 4, 16, 16)).astype(np.float32), f"p{number}", number == 6)
    assert len(fit_memories(samples)[0].memory) == 4_000


def test_each_held_out_image_counts_alike_for_the_quantiles() -> None:
    samples = filled(held_out=0)
    rng = np.random.default_rng(4)
    samples.add(grid(rng, (8, 40, 40)), "large and ordinary", True)
    samples.add(grid(rng, (1, 6, 6), spread=20.0), "small and strange", True)
    memory = fit_memory(samples, 2000)
    half = memory.quantiles[int(np.argmin(np.abs(TAIL_SHARES - 0.4)))]
    assert half > np.quantile(memory.scores(grid(rng)), 0.99)


def test_one_group_or_no_held_out_image_is_refused() -> None:
    rng = np.random.default_rng(0)
    for groups, held_out in ((["a", "a"], 1), (["a", "b"], 0)):
        samples = new_samples(1)[0]
        for group in groups:
            samples.add(grid(rng), group, False)
        for number in range(held_out):
            samples.add(grid(rng), f"h{number}", True)
        with pytest.raises(ModelError, match="memory of cells"):
            fit_memories([samples])


@pytest.mark.parametrize("distance, is_the_same", [(0.009, True), (0.011, False)])
def test_cells_nearer_than_a_hundredth_of_the_spread_are_the_same_up_to_rounding(
    distance: float, is_the_same: bool
) -> None:
    # Two pairs of spots of different groups, one near and one far apart; three cells on each are all neighbours.
    memory = np.repeat(np.array([[0.0], [100.0], [distance], [110.0]], dtype=np.float32), 3, axis=0)
    units = _units(memory, np.repeat([0, 0, 1, 1], 3)).astype(float)
    # Cells that are the same get the unit of the others; else the unit is halfway to the median in logarithms.
    near, far = (10.0, 10.0) if is_the_same else (distance, 10.0)
    middle = (near + far) / 2
    np.testing.assert_allclose(units[[0, 6]], np.sqrt(near * middle), rtol=2e-3)
    np.testing.assert_allclose(units[[3, 9]], np.sqrt(far * middle), rtol=2e-3)
