"""Voxels of the image's own grid say what results say, and the temperatures under which they are right are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.resampling import resample_linear
from MultiTaskSegLib.runtime.labels.label_stream import LabelStream
from MultiTaskSegLib.runtime.labels.surface_band import near_surface
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from trainer.calibration.mixed_voxels import FitCase, GridMixture, MixedVoxels, fit_two_temperatures
from trainer.calibration.scaling import Scaling
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration, drawn_places

GRID = (6, 9, 10)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
LABELS = tuple(LabelInfo(v, f"l{v}", f"l {v}", (1, 2, 3), "") for v in (1, 2))
TASK = TaskInfo("task", "T1", "head", LABELS, PROFILE, 0, 1.3, "none", 1, 1, surface_temperature=3.0)
SCALING = Scaling(1.3, 3.0)


def logits(seed: int = 1, grid: tuple[int, int, int] = GRID) -> NDArray[np.float32]:
    """Smooth, so that there are voxels near a surface and others."""
    coarse = np.random.default_rng(seed).normal(size=(3, *(max(1, n // 3) for n in grid)))
    return 5 * resample_linear(coarse.astype(np.float32), grid)


def voxels_of(answer: NDArray[np.float32], truth: NDArray[np.uint8]) -> MixedVoxels:
    """Every voxel of the image, in its order."""
    found, shares = GridMixture(answer.shape[1:], truth.shape).at(np.arange(truth.size))
    near = near_surface(answer.argmax(axis=0).astype(np.uint8)).ravel()[found]
    mixed = np.moveaxis(answer.reshape(len(answer), -1)[:, found], 0, 2)
    return MixedVoxels(mixed, shares, near, truth.ravel().astype(np.int64), np.ones(truth.size))


@pytest.mark.parametrize("shape", [GRID, (12, 9, 10), (6, 5, 17), (3, 20, 7)], ids=str)
def test_the_probabilities_are_those_of_the_result_on_the_image_s_own_grid(shape: tuple[int, int, int]) -> None:
    answer = logits()
    stream = LabelStream(TASK, GRID, shape)
    stream.push_logits(torch.from_numpy(answer.copy()))
    said = voxels_of(answer, np.zeros(shape, dtype=np.uint8)).probabilities(SCALING)
    np.testing.assert_allclose(said.max(axis=1), stream.running.confidence.ravel(), atol=1e-5)
    agree = said.argmax(axis=1) == stream.running.index.ravel()
    assert agree.mean() > 0.999
    np.testing.assert_allclose(said.sum(axis=0), stream.running.totals, rtol=1e-5)


@pytest.mark.parametrize("shape", [GRID, (6, 5, 17)], ids=str)
def test_the_loss_is_that_of_the_probabilities(shape: tuple[int, int, int]) -> None:
    truth = np.random.default_rng(2).integers(0, 3, shape).astype(np.uint8)
    voxels = voxels_of(logits(), truth)
    voxels = replace(voxels, weight=np.random.default_rng(3).random(truth.size))
    own = voxels.probabilities(SCALING)[np.arange(truth.size), voxels.labels]
    assert voxels.loss(SCALING) == pytest.approx(-float(np.log(own) @ voxels.weight), rel=1e-4)


def test_without_interpolation_every_voxel_is_one_of_the_network_s() -> None:
    mixture = GridMixture(GRID, GRID)
    found, shares = mixture.at(np.array([5, 77, 400]))
    assert mixture.width == 1
    np.testing.assert_array_equal(found[:, 0], [5, 77, 400])
    np.testing.assert_array_equal(shares, 1.0)


@pytest.mark.parametrize("shape", [GRID, (12, 9, 10), (6, 5, 17), (3, 20, 7)], ids=str)
def test_the_nearest_voxel_is_the_one_with_the_largest_share(shape: tuple[int, int, int]) -> None:
    values = np.arange(np.prod(GRID)).reshape(GRID) % 251
    found, shares = GridMixture(GRID, shape).at(np.arange(np.prod(shape)))
    nearest = GridMixture(GRID, shape).nearest_of(values.astype(np.uint8)).ravel()
    chosen = (values.ravel()[found] == nearest[:, None]) & (shares >= 0.999 * shares.max(axis=1, keepdims=True))
    assert chosen.any(axis=1).all()


@pytest.mark.parametrize("shape", [GRID, (12, 9, 10), (6, 5, 17), (3, 20, 7)], ids=str)
def test_a_flag_reaches_the_voxels_into_which_a_flagged_one_enters(shape: tuple[int, int, int]) -> None:
    flags = np.random.default_rng(3).random(GRID) > 0.97
    found, shares = GridMixture(GRID, shape).at(np.arange(np.prod(shape)))
    expected = (flags.ravel()[found] & (shares > 0)).any(axis=1).reshape(shape)
    np.testing.assert_array_equal(GridMixture(GRID, shape).any_of(flags), expected)
    assert expected.any()
    assert not expected.all()


def test_places_are_drawn_from_the_region_alone_each_once_and_as_likely_as_any_other() -> None:
    region = np.random.default_rng(0).random((5, 6, 7)) > 0.6
    region[2] = False
    everything = np.flatnonzero(region)
    np.testing.assert_array_equal(drawn_places(region, 10**6, np.random.default_rng(1)), everything)
    rng, times = np.random.default_rng(2), np.zeros(region.size)
    for _ in range(1_000):
        places = drawn_places(region, 20, rng)
        assert len(np.unique(places)) == 20
        times[places] += 1
    np.testing.assert_allclose(times[everything] / 1_000, 20 / len(everything), atol=0.08)
    assert times.sum() == times[everything].sum()
    assert len(drawn_places(np.zeros((3, 4, 5), dtype=bool), 20, rng)) == 0


def test_large_logits_do_not_overflow() -> None:
    certain = MixedVoxels(
        np.array([[[1e4, 0.0], [0.0, 1e4]]], np.float32),
        np.array([[0.25, 0.75]], np.float32),
        np.zeros((1, 2), bool),
        np.array([1]),
        np.ones(1),
    )
    assert certain.loss(Scaling(0.2)) == pytest.approx(-np.log(0.75))
    np.testing.assert_allclose(certain.probabilities(Scaling(0.2)), [[0.25, 0.75]])


def drawn(seed: int, shape: tuple[int, int, int]) -> HeldOutCase:
    """Truth drawn from what a result says that is right: what the network says is sharper near its surface by 3, and by
    1.5 elsewhere."""
    grid = (1, 60, 90)
    right = 1.5 * logits(seed, grid)
    band = near_surface(right.argmax(axis=0).astype(np.uint8))
    sharp = right * np.where(band, np.float32(3.0), np.float32(1.5))
    shares = voxels_of(right, np.zeros(shape, dtype=np.uint8)).probabilities(Scaling())
    chance = np.random.default_rng([seed, 9]).random((len(shares), 1))
    truth = (shares.cumsum(axis=1) < chance).sum(axis=1).clip(0, 2)
    return HeldOutCase(f"p{seed}", sharp, truth.reshape(shape).astype(np.uint8))


@pytest.mark.parametrize("shape", [(1, 100, 150), (1, 45, 70)], ids=str)
def test_the_temperatures_with_which_results_are_right_on_the_image_s_own_grid_are_recovered(
    shape: tuple[int, int, int],
) -> None:
    calibration = TaskCalibration(0)
    for seed in range(5):
        calibration.add(drawn(seed, shape))
    found, figures = calibration.scaling(), calibration.figures()
    assert found.temperature == pytest.approx(1.5, rel=0.12)
    assert found.surface_temperature == pytest.approx(3.0, rel=0.12)
    assert figures["ece"] < 0.03 < figures["ece_uncalibrated"]


def test_images_of_different_grids_are_fitted_together() -> None:
    calibration = TaskCalibration(0)
    for seed, shape in enumerate([(1, 60, 90), (1, 100, 150)] * 2):
        calibration.add(drawn(seed, shape))
    assert calibration.scaling().surface_temperature == pytest.approx(3.0, rel=0.12)


def test_a_result_of_one_label_has_a_temperature_elsewhere_only() -> None:
    some = voxels_of(logits(), np.ones(GRID, dtype=np.uint8))
    empty = MixedVoxels(some.logits[:0], some.shares[:0], some.near[:0], some.labels[:0], some.weight[:0])
    assert fit_two_temperatures([FitCase(empty, some)]).surface_temperature == 1.0
    assert fit_two_temperatures([FitCase(some, empty)]).temperature == 1.0
    assert fit_two_temperatures([FitCase(empty, empty)]) == Scaling(1.0, 1.0)
