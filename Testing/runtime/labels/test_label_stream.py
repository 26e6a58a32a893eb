"""Labels from slabs are those of whole probability volumes, worked out the plain way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.labels import label_rows as label_rows_module
from MultiTaskSegLib.runtime.labels import label_stream
from MultiTaskSegLib.runtime.labels.label_rows import context_rows, label_rows
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream, RunningLabels
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.network.architecture import Triple
from Testing.runtime.labels.background_shares import backgrounds
from Testing.runtime.labels.surface_oracle import surface_band

GRID: Triple = (13, 9, 11)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
LABELS = tuple(LabelInfo(v, f"label{v}", f"label {v}", (1, 2, 3), "") for v in (1, 2, 3))
TASK = TaskInfo("task", "T1", "head", LABELS, PROFILE, 0, 1.7, "none", 1, 1)


def smooth_logits() -> np.ndarray:
    """Logits ``(4, Z, Y, X)`` with regions of several voxels, so that there is an inside."""
    rough = np.random.default_rng(4).normal(size=(4, 4, 3, 4)).astype(np.float32)
    return 6 * resample_linear(rough, GRID)


def whole(logits: np.ndarray, task: TaskInfo, shape: Triple) -> tuple[np.ndarray, ...]:
    """Index, confidence, uncertainty and totals from whole volumes: the reference."""
    logits = (logits - logits.max(axis=0)).astype(np.float64)
    powers = np.exp(logits / task.temperature)
    shares = powers / powers.sum(axis=0)
    if task.surface_temperature is not None:
        band = surface_band(logits.argmax(axis=0))
        softer = np.exp(logits[:, band] / task.surface_temperature)
        shares[:, band] = softer / softer.sum(axis=0)
    shares = resample_linear(shares.astype(np.float32), shape).astype(np.float64)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=0) / np.log(len(shares))
    return shares.argmax(axis=0), shares.max(axis=0), entropy, shares.sum(axis=(1, 2, 3))


def streamed(logits: np.ndarray, task: TaskInfo, shape: Triple, step: int) -> RunningLabels:
    stream = LabelStream(task, GRID, shape)
    for slab in torch.from_numpy(logits).split(step, dim=1):
        stream.push_logits(slab)
    return stream.running


@pytest.mark.parametrize("surface_temperature", [None, 0.9, 4.0])
@pytest.mark.parametrize("shape", [GRID, (26, 20, 11), (6, 4, 30), (13, 9, 40)], ids=str)
@pytest.mark.parametrize("step", [1, 2, 5, 13])
def test_slabs_give_the_maps_of_whole_volumes(step: int, shape: Triple, surface_temperature: float | None) -> None:
    task, logits = replace(TASK, surface_temperature=surface_temperature), smooth_logits()
    index, confidence, uncertainty, totals = whole(logits, task, shape)
    found = streamed(logits, task, shape, step)
    assert (found.index == index).mean() >= 0.9999
    np.testing.assert_allclose(found.confidence, confidence, atol=1e-5)
    np.testing.assert_allclose(found.uncertainty, uncertainty, atol=1e-5)
    np.testing.assert_allclose(found.totals, totals, rtol=1e-5)
    np.testing.assert_array_equal(found.voxels, np.bincount(index.ravel(), minlength=4) * [0, 1, 1, 1])
    overlaps = np.bincount(index.ravel(), confidence.ravel(), minlength=4)
    np.testing.assert_allclose(found.overlaps[1:], overlaps[1:], rtol=1e-5)


def in_strips(logits: np.ndarray, task: TaskInfo, shape: Triple, rows: int, more: int) -> RunningLabels:
    """As `streamed`, strip by strip, each with ``more`` rows around it than it needs."""
    stream = LabelStream(task, GRID, shape)
    around = context_rows(GRID[1], shape[1]) + more
    for start in range(0, GRID[1], rows):
        first = max(0, start - around)
        stream.begin_strip((start, start + rows), first)
        part = torch.from_numpy(logits[:, :, first : start + rows + around])
        for slab in part.split(4, dim=1):
            stream.push_logits(slab)
    return stream.running


@pytest.mark.parametrize("surface_temperature", [None, 4.0])
@pytest.mark.parametrize("shape", [GRID, (26, 20, 11), (6, 4, 30), (13, 1, 40), (13, 40, 11)], ids=str)
@pytest.mark.parametrize(("rows", "more"), [(1, 0), (2, 0), (4, 1), (8, 0)])
def test_strips_of_rows_give_the_maps_of_whole_planes(
    rows: int, more: int, shape: Triple, surface_temperature: float | None
) -> None:
    task = replace(TASK, surface_temperature=surface_temperature, single_component=True)
    logits = smooth_logits()
    expected, found = streamed(logits, task, shape, 4), in_strips(logits, task, shape, rows, more)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-6)
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=1e-6)
    np.testing.assert_allclose(backgrounds(found), backgrounds(expected), atol=1e-6)
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_allclose(found.totals, expected.totals, rtol=1e-5)
    np.testing.assert_allclose(found.overlaps, expected.overlaps, rtol=1e-5)


@pytest.mark.parametrize("fewer", [1, 2])
def test_a_context_that_is_too_small_would_be_noticed(fewer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task, logits = replace(TASK, surface_temperature=4.0), smooth_logits()
    expected = streamed(logits, task, GRID, 4)
    plain = label_rows_module.context_rows
    monkeypatch.setattr(label_rows_module, "context_rows", lambda *sizes: plain(*sizes) - 2 - fewer)
    found = in_strips(logits, task, GRID, 2, 5)
    assert np.abs(found.confidence - expected.confidence).max() > 1e-3


@pytest.mark.parametrize(("grid_rows", "image_rows"), [(9, 9), (9, 30), (30, 9), (16, 1), (1, 7), (100, 99), (7, 3)])
@pytest.mark.parametrize("rows", [1, 2, 3, 16])
def test_strips_give_every_row_of_the_image_once(grid_rows: int, image_rows: int, rows: int) -> None:
    parts = [label_rows((start, start + rows), grid_rows, image_rows) for start in range(0, grid_rows, rows)]
    given = [row for part in parts for row in range(part.wanted.start, part.wanted.stop)]
    assert given == list(range(image_rows))


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("scale", [0.0, 0.5, 8.0, 60.0, 400.0])
def test_maps_of_random_logits_from_doubtful_to_certain_are_those_of_the_plain_formulas(
    classes: int, scale: float
) -> None:
    labels = tuple(LabelInfo(v, f"label{v}", f"label {v}", (1, 2, 3), "") for v in range(1, classes))
    task = replace(TASK, labels=labels, surface_temperature=2.9)
    logits = scale * np.random.default_rng(classes).normal(size=(classes, *GRID)).astype(np.float32)
    index, confidence, uncertainty, totals = whole(logits, task, GRID)
    found = streamed(logits, task, GRID, 4)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.confidence, confidence, atol=1e-5)
    np.testing.assert_allclose(found.uncertainty, uncertainty, atol=1e-5)
    np.testing.assert_allclose(found.totals, totals, rtol=1e-5)


def test_chunks_of_any_size_give_the_same_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    task, logits = replace(TASK, surface_temperature=3.0), smooth_logits()
    expected = streamed(logits, task, (20, 20, 20), 4)
    monkeypatch.setattr("MultiTaskSegLib.runtime.labels.label_stream.CHUNK_VALUES", 500)
    found = streamed(logits, task, (20, 20, 20), 4)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)


def test_padding_beyond_the_grid_is_cut_off() -> None:
    logits = smooth_logits()
    padded = np.pad(logits, [(0, 0), (0, 3), (0, 2), (0, 1)], constant_values=50.0)
    expected, found = streamed(logits, TASK, GRID, 4), streamed(padded, TASK, GRID, 4)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_the_background_s_share_is_remembered_where_it_may_be_needed() -> None:
    logits = smooth_logits()
    task = replace(TASK, single_component=True)
    shares = torch.softmax(torch.from_numpy(logits) / task.temperature, dim=0)[0].numpy()
    found = streamed(logits, task, GRID, 3)
    np.testing.assert_allclose(backgrounds(found), shares[found.index > 0], rtol=1e-5)
    assert backgrounds(streamed(logits, TASK, GRID, 3)).size == 0


@pytest.mark.parametrize("shape", [GRID, (26, 20, 11), (6, 4, 30), (13, 9, 40)], ids=str)
@pytest.mark.parametrize("values", [1, 100, 300])
def test_parts_of_a_plane_give_the_maps_of_whole_planes(
    shape: Triple, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, task = smooth_logits(), replace(TASK, surface_temperature=0.9, single_component=True)
    expected, largest, plain = streamed(logits, task, shape, 5), 0, RunningLabels.put

    def put(self: RunningLabels, shares: torch.Tensor, slices: slice, rows: slice) -> None:
        nonlocal largest
        largest = max(largest, shares.numel())
        plain(self, shares, slices, rows)

    monkeypatch.setattr(RunningLabels, "put", put)
    monkeypatch.setattr(label_stream, "CHUNK_VALUES", values)
    found = streamed(logits, task, shape, 5)
    assert 0 < largest <= max(values, 4 * shape[2])
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)
    np.testing.assert_allclose(found.totals, expected.totals, rtol=1e-5)
    np.testing.assert_array_equal(backgrounds(found), backgrounds(expected))


def test_what_is_made_background_again_is_counted_as_if_it_had_never_been_labelled() -> None:
    running = streamed(smooth_logits(), replace(TASK, single_component=True), GRID, 13)
    index, voxels = running.index.copy(), running.voxels.copy()
    where = np.zeros(GRID, dtype=bool)
    where[3:9, 2:7, 4:] = True
    removed = where & (index > 0)
    # Voxels that are background already stay as they are.
    assert 0 < removed.sum() < where.sum()
    background = np.linspace(0.1, 0.4, removed.sum(), dtype=np.float32)
    confidence = np.where(removed, 0, running.confidence)
    confidence[removed] = background
    running.remove((slice(None), slice(None)), where, background)
    np.testing.assert_array_equal(running.index, np.where(removed, 0, index))
    np.testing.assert_array_equal(running.confidence, confidence)
    counts = np.bincount(running.index.ravel(), minlength=4)
    np.testing.assert_array_equal(running.voxels[1:], counts[1:])
    assert running.voxels.sum() == voxels.sum() - removed.sum()
    overlaps = np.bincount(running.index.ravel(), running.confidence.ravel(), minlength=4)
    np.testing.assert_allclose(running.overlaps[1:], overlaps[1:], rtol=1e-5)
