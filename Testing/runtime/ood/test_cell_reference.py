"""The memory of cells: distances worked out by hand, the meaning of the map's values, and the way back to the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import load_model, reference_tensors, save_model
from MultiTaskSegLib.runtime.ood import cell_reference
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES
from MultiTaskSegLib.runtime.ood.cell_reference import (
    SMALLEST_RATIO,
    TAIL_SHARES,
    CellMemory,
    cell_tensors,
    locating_bytes,
    nearest_ratios,
    on_image_grid,
    read_memories,
)
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import (
    tiny_images,
    tiny_manifest,
    tiny_memories,
    tiny_network,
    tiny_reference,
    write_tiny_model,
)


def memory_on_a_line() -> CellMemory:
    """One feature, remembered at 0, 1, 2 and 100, in units of 1, 1, 1 and 10."""
    cells = np.array([[0.0], [1.0], [2.0], [100.0]], dtype=np.float16)
    units = np.array([1.0, 1.0, 1.0, 10.0], dtype=np.float16)
    quantiles = np.linspace(0.0, 4.0, len(TAIL_SHARES), dtype=np.float32)
    return CellMemory(np.zeros(1, np.float32), np.ones((1, 1), np.float32), cells, units, quantiles)


def test_a_distance_worked_out_by_hand() -> None:
    memory = memory_on_a_line()
    # 5 is 3, 4 and 5 from the nearest; 90 is 10, 88 and 89 from 100, 2 and 1, whose units are 10, 1 and 1.
    found = nearest_ratios(np.array([[5.0], [90.0]]), memory.memory, memory.units)
    np.testing.assert_allclose(found, [4.0, (10 + 88 + 89) / 12], rtol=1e-5)


def test_with_fewer_cells_than_neighbours_all_of_them_count() -> None:
    found = nearest_ratios(np.array([[3.0]]), np.array([[0.0], [1.0]]), np.ones(2))
    np.testing.assert_allclose(found, [2.5])


def test_locating_in_a_large_memory_takes_its_features_twice_by_channel_and_unless_told_there_is_one() -> None:
    profile = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    voxels = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32)
    frame = prepare(Volume(voxels, np.eye(4)), profile).frame
    remembered, cells = 10**6, 5  # differences of five cells, twice, beside the memory
    for channels in (1, 2, 7):
        expected = 4 * remembered * (2 * cells + 2 * channels * FEATURES)
        assert locating_bytes(frame, remembered, cells, channels) == expected
    assert locating_bytes(frame, remembered, cells) == locating_bytes(frame, remembered, cells, 1)


def test_all_blocks_of_cells_use_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, places = np.random.default_rng(1), []
    rows, known = rng.normal(size=(23, 4)), rng.normal(size=(50, 4))
    whole, plain = nearest_ratios(rows, known, np.ones(50)), torch.addmm

    def addmm(*arguments: Any, out: torch.Tensor, **options: Any) -> torch.Tensor:
        """Take note of where the differences lie."""
        places.append(out.data_ptr())
        return plain(*arguments, out=out, **options)

    monkeypatch.setattr(cell_reference, "BLOCK_ROWS", 5)
    monkeypatch.setattr(torch, "addmm", addmm)
    np.testing.assert_allclose(nearest_ratios(rows, known, np.ones(50)), whole, rtol=1e-6)
    assert len(places) == 5
    assert len(set(places)) == 1


def test_blocks_of_rows_make_no_difference() -> None:
    rng = np.random.default_rng(0)
    rows, known = rng.normal(size=(5000, 4)), rng.normal(size=(50, 4))
    whole = nearest_ratios(rows, known, np.ones(50))
    brute = np.sort(np.linalg.norm(rows[:, None] - known[None], axis=2), axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(whole, brute, rtol=1e-3)


def test_the_map_tells_how_rare_a_score_is_among_known_cells() -> None:
    memory = memory_on_a_line()
    # Quantiles were chosen so that a score of s is reached by a share of 10^-s.
    for distance, score in ((4.0, np.log(4.0 + SMALLEST_RATIO)), (9.0, np.log(9.0 + SMALLEST_RATIO))):
        features = np.full((1, 1, 1, 1), 1.0 + distance)
        assert memory.rarity(features)[0, 0, 0] == pytest.approx(score, abs=1e-3)
    assert memory.rarity(np.full((1, 1, 1, 1), 1.0))[0, 0, 0] == 0.0
    assert memory.rarity(np.full((1, 1, 1, 1), 1e6))[0, 0, 0] == pytest.approx(4.0)


def test_cells_become_blocks_of_voxels_on_the_images_own_grid() -> None:
    profile = Profile("p", "spacing", Intensity("percentile", 0.0, 100.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
    voxels = np.random.default_rng(0).random((4, 6, 7), dtype=np.float32)
    flipped = np.diag([-1.0, 1.0, -1.0, 1.0])
    prepared = prepare(Volume(voxels, flipped, ""), profile)
    cells = np.random.default_rng(1).random((2, 2, 2)).astype(np.float32)
    expected = np.kron(cells, np.ones((2, 3, 4)))[:4, :6, :7]
    np.testing.assert_allclose(on_image_grid(cells, (2, 3, 4), prepared), expected[::-1, :, ::-1], rtol=1e-6)


def test_a_resampled_image_gets_a_map_of_its_own_size() -> None:
    profile = Profile("p", "spacing", Intensity("percentile", 0.0, 100.0), spacing_zyx_mm=(2.0, 2.0, 2.0))
    volume = Volume(np.random.default_rng(0).random((8, 9, 10), dtype=np.float32), np.diag([1.3, 1.1, 1.7, 1.0]), "")
    prepared = prepare(volume, profile)
    cells = np.ones(tuple(-(-n // 2) for n in prepared.voxels.shape), dtype=np.float32)
    found = on_image_grid(cells, (2, 2, 2), prepared)
    assert found.shape == (8, 9, 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)


def test_memories_survive_the_model_file(tmp_path: Path) -> None:
    memories = tiny_memories()
    loaded = load_model(write_tiny_model(tmp_path / "m.mts.safetensors", with_cells=True)).memories
    assert len(loaded) == len(memories) == 2
    for mine, theirs in zip(memories, loaded, strict=True):
        for name, value in vars(mine).items():
            np.testing.assert_array_equal(getattr(theirs, name), value)


def test_a_model_without_memories_has_none_and_says_so_when_asked_for_a_map(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.mts.safetensors")
    assert load_model(path).memories == ()
    volume = Volume(np.random.default_rng(3).random((9, 12, 10), dtype=np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "v")
    with pytest.raises(ModelError, match="cannot tell where"):
        Predictor.load(path, "cpu").locate(volume)


def drop(tensors: dict[str, torch.Tensor], name: str) -> None:
    del tensors[name]


DAMAGES = {
    "a part is missing": lambda t: drop(t, "reference.cells.1.units"),
    "a task too many": lambda t: t.update({"reference.cells.2.mean": t["reference.cells.0.mean"].clone()}),
    "means of other features": lambda t: t.update({"reference.cells.0.mean": torch.zeros(5)}),
    "no cells": lambda t: t.update({"reference.cells.0.memory": torch.zeros((0, 12), dtype=torch.float16)}),
    "another dimension": lambda t: t.update({"reference.cells.0.memory": torch.ones((4, 3), dtype=torch.float16)}),
    "units of other cells": lambda t: t.update({"reference.cells.0.units": torch.ones(3, dtype=torch.float16)}),
    "a unit of zero": lambda t: t["reference.cells.0.units"].zero_(),
    "falling quantiles": lambda t: t["reference.cells.1.quantiles"].copy_(torch.arange(41.0).flip(0)),
    "too few quantiles": lambda t: t.update({"reference.cells.1.quantiles": torch.arange(4.0)}),
    "a projection that is none": lambda t: t.update({"reference.cells.1.projection": torch.ones(12)}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_impossible_memories_are_refused(damage, tmp_path: Path) -> None:
    tensors = reference_tensors(tiny_images(), tiny_reference()) | cell_tensors(tiny_memories())
    damage(tensors)
    path = tmp_path / "m.mts.safetensors"
    with pytest.raises(ModelError, match="cells"):
        save_model(path, tiny_manifest(), tiny_network(), tensors)


def test_reading_gives_back_what_was_written() -> None:
    memories = tiny_memories()
    read = read_memories(cell_tensors(memories), 2)
    np.testing.assert_array_equal(read[1].memory, memories[1].memory)


def test_the_verdict_beside_the_map_is_that_of_check_and_the_map_marks_what_is_foreign(tmp_path: Path) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "m.mts.safetensors", with_cells=True), "cpu")
    rng = np.random.default_rng(8)
    voxels = rng.normal(100, 20, (24, 24, 24)).astype(np.float32)
    voxels[8:16, 8:16, 8:16] = 100.0  # a hole in the noise: nothing like it was ever seen
    volume = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), "noise with a hole")
    verdict, rarity = predictor.locate(volume)
    assert verdict == predictor.check(volume)
    assert rarity.shape == volume.shape
    assert 0.0 <= rarity.min() <= rarity.max() <= 4.0 + 1e-6
    inside, outside = rarity[10:14, 10:14, 10:14], rarity[:, :, 19:]
    assert inside.min() > np.quantile(outside, 0.99)


def test_a_map_of_a_known_kind_of_image_is_rare_as_often_as_it_says(tmp_path: Path) -> None:
    memory = tiny_memories()[0]
    predictor = Predictor.load(write_tiny_model(tmp_path / "m.mts.safetensors", with_cells=True), "cpu")
    model = predictor.model
    one_task = replace(model, memories=(memory, memory))
    rng = np.random.default_rng(99)
    maps = [
        Predictor(one_task, "cpu").locate(
            Volume(rng.normal(100, 20, (16, 16, 16)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "noise")
        )[1]
        for _ in range(6)
    ]
    values = np.stack([m[::2, ::2, ::2] for m in maps])
    for decades in (0.5, 1.0, 1.5):
        assert np.log10((values >= decades).mean()) == pytest.approx(-decades, abs=0.3)
