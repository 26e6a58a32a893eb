"""Temperature scaling on voxels whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.calibration.temperature import (
    LabelledLogits,
    expected_calibration_error,
    fit_temperature,
    informative_voxels,
    negative_log_likelihood,
    top_label,
)


def calibrated(count: int, classes: int = 3, seed: int = 1) -> LabelledLogits:
    """Labels drawn from the softmax of the logits themselves: the right temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return LabelledLogits(logits.astype(np.float32), labels.astype(np.int64))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7, 3.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    data = calibrated(20_000)
    too_sharp = LabelledLogits(data.logits * np.float32(temperature), data.labels)
    assert fit_temperature(too_sharp) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_stays_within_its_limits() -> None:
    data = calibrated(2_000)
    assert fit_temperature(LabelledLogits(data.logits * 50, data.labels)) == pytest.approx(5.0, rel=1e-3)
    assert fit_temperature(LabelledLogits(data.logits / 50, data.labels)) == pytest.approx(0.2, rel=1e-3)


def test_without_voxels_nothing_is_changed() -> None:
    empty = LabelledLogits(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert fit_temperature(empty) == 1.0
    assert expected_calibration_error(empty, 1.0) == 0.0


def test_the_likelihood_of_two_voxels_worked_out_by_hand() -> None:
    logits = np.log(np.array([[0.7, 0.3], [0.4, 0.6]])).astype(np.float32)
    data = LabelledLogits(logits, np.array([0, 1]))
    assert negative_log_likelihood(data, 1.0) == pytest.approx(-(np.log(0.7) + np.log(0.6)) / 2, rel=1e-5)
    first = np.sqrt([0.7, 0.3])
    second = np.sqrt([0.4, 0.6])
    expected = -(np.log(first[0] / first.sum()) + np.log(second[1] / second.sum())) / 2
    assert negative_log_likelihood(data, 2.0) == pytest.approx(expected, rel=1e-5)


def test_large_logits_do_not_overflow() -> None:
    data = LabelledLogits(np.array([[1e4, 0.0], [0.0, 1e4]], np.float32), np.array([0, 1]))
    assert negative_log_likelihood(data, 0.2) == pytest.approx(0.0)
    assert expected_calibration_error(data, 0.2) == pytest.approx(0.0)


def test_the_calibration_error_of_five_voxels_worked_out_by_hand() -> None:
    # Bin 0.9 to 1: confidence 0.95 twice, one right. Bin 0.6 to 0.7: 0.65 three times, all right.
    shares = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65], [0.35, 0.65]])
    data = LabelledLogits(np.log(shares).astype(np.float32), np.array([0, 1, 1, 1, 1]))
    expected = (2 * abs(0.95 - 0.5) + 3 * abs(0.65 - 1.0)) / 5
    assert expected_calibration_error(data, 1.0) == pytest.approx(expected, rel=1e-5)


def test_calibrated_voxels_have_almost_no_error_and_sharpened_ones_have_one() -> None:
    data = calibrated(20_000)
    assert expected_calibration_error(data, 1.0) < 0.015
    assert expected_calibration_error(data, 0.3) > 0.08


def test_temperature_changes_confidence_but_not_the_answer() -> None:
    data = calibrated(500)
    cold, warm = top_label(data, 0.5), top_label(data, 3.0)
    np.testing.assert_array_equal(cold[1], warm[1])
    assert (cold[0] >= warm[0]).all()


def test_informative_voxels_lie_within_two_voxels_of_a_structure() -> None:
    labels = np.zeros((9, 11, 13), dtype=np.uint8)
    labels[4, 5, 6] = 3
    found = informative_voxels(labels, 10**6, np.random.default_rng(0))
    places = np.array(np.unravel_index(found, labels.shape)).T
    assert len(found) == 5**3
    assert (np.abs(places - [4, 5, 6]).max(axis=1) <= 2).all()


def test_in_a_picture_only_neighbours_in_the_plane_count() -> None:
    labels = np.zeros((1, 11, 13), dtype=np.uint8)
    labels[0, 5, 6] = 1
    assert len(informative_voxels(labels, 10**6, np.random.default_rng(0))) == 5**2


def test_the_limit_draws_without_repetition_and_from_the_generator_alone() -> None:
    labels = np.ones((4, 5, 6), dtype=np.uint8)
    first = informative_voxels(labels, 50, np.random.default_rng(7))
    assert len(np.unique(first)) == 50
    np.testing.assert_array_equal(first, informative_voxels(labels, 50, np.random.default_rng(7)))
    assert len(informative_voxels(np.zeros_like(labels), 50, np.random.default_rng(7))) == 0
