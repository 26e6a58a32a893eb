"""What one case says, against figures worked out by hand and against the shipped pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from Testing.runtime.labels.labelled_at_once import label_image
from Testing.runtime.upright import upright
from trainer.calibration.scaling import Scaling, log_probabilities_of, softmax
from trainer.data.labelled_case import LabelledCase, label_indices
from trainer.uncertainty.case_statistics import (
    CALIBRATION_REGIONS,
    ERROR_REGIONS,
    CaseStatistics,
    case_statistics,
    ideal_ring,
    normalised_entropy,
    predicted_labels,
    segment_table,
)
from trainer.uncertainty.reliability import expected_calibration_error

SHAPE = (3, 12, 14)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))
LABELS = tuple(LabelInfo(v, f"label{v}", f"label {v}", (1, 2, 3), "") for v in (4, 9))
TASK = TaskInfo("task", "T1", "head", LABELS, PROFILE, 0, 1.0, "none", 1, 1)


def logits(seed: int = 1) -> np.ndarray:
    return (3 * np.random.default_rng(seed).normal(size=(3, *SHAPE))).astype(np.float32)


def case(truth: np.ndarray) -> LabelledCase:
    prepared = upright(np.zeros(SHAPE, dtype=np.float32))
    return LabelledCase("case", "patient", TASK, prepared, truth.astype(np.uint8))


def drawn_truth(shares: np.ndarray, seed: int = 2) -> np.ndarray:
    draw = np.random.default_rng(seed).random(shares.shape[1:])
    return (shares.cumsum(axis=0) < draw).sum(axis=0).clip(0, len(shares) - 1)


def test_labels_uncertainty_and_expected_dice_are_those_that_ship() -> None:
    shares = softmax(logits()).astype(np.float16)
    shipped = label_image(shares, TASK, upright(np.zeros(SHAPE, dtype=np.float32)))
    values = shares.astype(np.float32)
    predicted = predicted_labels(values, single_component=False)
    np.testing.assert_array_equal(np.array([0, 4, 9])[predicted], shipped.labels)
    np.testing.assert_allclose(normalised_entropy(values), shipped.uncertainty, atol=1e-6)
    table = segment_table(values, predicted, np.zeros(SHAPE, dtype=np.uint8))
    assert dict(zip((4, 9), table[:, 0].tolist(), strict=True)) == pytest.approx(shipped.predicted_dice, rel=1e-5)


def test_a_segment_worked_out_by_hand() -> None:
    shares = np.array([[0.2, 0.4, 0.9], [0.8, 0.6, 0.1]], dtype=np.float32).reshape(2, 1, 1, 3)
    predicted, truth = (np.array(values).reshape(1, 1, 3) for values in ([1, 1, 0], [1, 0, 0]))
    row = segment_table(shares, predicted, truth)[0]
    assert row == pytest.approx([2 * 1.4 / (1.5 + 2), 2 / 3, 0.7, 2, 1], rel=1e-5)


def test_empty_segments_foretell_nothing_and_absent_structures_have_no_dice() -> None:
    shares = np.array([[0.9, 0.9], [0.1, 0.1]], dtype=np.float32).reshape(2, 1, 1, 2)
    nothing = np.zeros((1, 1, 2), dtype=np.uint8)
    assert np.isnan(segment_table(shares, nothing, nothing)[0, :3]).all()
    missed = segment_table(shares, nothing, np.ones((1, 1, 2), dtype=np.uint8))[0]
    assert np.isnan(missed[0])
    assert missed[1] == 0.0


def test_regions_hold_the_voxels_that_their_names_say() -> None:
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[:, :, 7:] = 1
    right = 50 * np.eye(3, dtype=np.float32)[truth].transpose(3, 0, 1, 2)
    found = case_statistics(case(truth), right, [Scaling()], 1.5, with_ideal=True)
    layer = SHAPE[0] * SHAPE[1]
    voxels = dict(zip(CALIBRATION_REGIONS, found.squared_error[0, :, 0].tolist(), strict=True))
    assert voxels["whole"] == 14 * layer
    assert voxels["ring"] == voxels["predicted_ring"] == 4 * layer
    errors = dict(zip(ERROR_REGIONS, found.errors[0].sum(axis=(1, 2)).tolist(), strict=True))
    assert errors == {"whole": 14 * layer, "near": 9 * layer}
    assert found.errors[0, :, 1].sum() == 0
    assert found.seconds == 1.5


def test_wrong_voxels_are_counted_as_wrong() -> None:
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[:, :, 7:] = 1
    answer = truth.copy()
    answer[:, :, 6] = 2
    given = 50 * np.eye(3, dtype=np.float32)[answer].transpose(3, 0, 1, 2)
    found = case_statistics(case(truth), given, [Scaling()], 0.0, with_ideal=False)
    assert found.errors[0, 0, 1].sum() == SHAPE[0] * SHAPE[1]
    assert found.segments[0, :, 1] == pytest.approx([1.0, 0.0])


def test_a_bias_changes_what_is_said_about_segments_but_not_the_segments() -> None:
    given = logits()
    truth = drawn_truth(softmax(given))
    plain, biased = (
        case_statistics(case(truth), given, [scaling], 0.0, with_ideal=False)
        for scaling in (Scaling(1.0, 1.0), Scaling(1.0, 1.0, 2.0, 2.0))
    )
    np.testing.assert_array_equal(plain.segments[..., [1, 3, 4]], biased.segments[..., [1, 3, 4]])
    assert (biased.segments[..., 2] < plain.segments[..., 2]).all()


def test_each_calibration_is_measured_as_if_alone() -> None:
    given = log_probabilities_of(logits())
    truth = drawn_truth(softmax(logits()))
    scalings = [Scaling(), Scaling(3.0), Scaling(1.5, 4.0)]
    together = case_statistics(case(truth), given, scalings, 0.0, with_ideal=True)
    for number, scaling in enumerate(scalings):
        alone = case_statistics(case(truth), given, [scaling], 0.0, with_ideal=True)
        for name in ("reliability", "squared_error", "errors", "segments"):
            np.testing.assert_array_equal(getattr(together, name)[number], getattr(alone, name)[0])


def test_statistics_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    found = case_statistics(case(drawn_truth(softmax(logits()))), logits(), [Scaling()], 2.5, with_ideal=True)
    found.save(tmp_path / "a.npz")
    again = CaseStatistics.load(tmp_path / "a.npz")
    for name in ("reliability", "squared_error", "errors", "segments"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    assert again.seconds == 2.5


def test_even_perfect_probabilities_have_an_error_in_the_ring_of_a_truth_that_nobody_knows() -> None:
    # A straight surface somewhere between two places that are 20 voxels apart, every place equally likely: the
    # probability is a ramp, and right. Near the surface, wherever it is, one half of the voxels is foreground.
    ramp = np.clip((np.arange(60) - 20) / 20, 0, 1)[None, None, :] * np.ones((1, 8, 1))
    table, total = ideal_ring(ramp)
    assert total[0] == 10 * 4 * 8
    assert float(expected_calibration_error(table)) == pytest.approx(0.25, abs=0.06)


def test_a_surface_that_is_known_leaves_no_error_in_its_ring() -> None:
    step = np.where(np.arange(60) < 30, 0.001, 0.999)[None, None, :] * np.ones((1, 8, 1))
    assert float(expected_calibration_error(ideal_ring(step)[0])) == pytest.approx(0.001, abs=1e-6)


def test_without_foreground_there_is_no_ring() -> None:
    table, total = ideal_ring(np.zeros(SHAPE))
    assert table.sum() == total.sum() == 0


def test_label_values_become_positions_in_the_head() -> None:
    stored = np.array([0, 4, 9, 1, 300, -2])
    assert label_indices(stored, TASK, {4: "label4", 9: "label9"}).tolist() == [0, 1, 2, 0, 0, 0]


def test_a_shared_foreground_head_takes_every_label() -> None:
    shared = TaskInfo(
        "task", "T1", "head", (LabelInfo(1, "foreground", "foreground", (1, 2, 3), ""),), PROFILE, 0, 1.0, "none", 1, 1
    )
    assert label_indices(np.array([0, 1, 7, 8]), shared, {1: "a", 7: "b"}).tolist() == [0, 1, 1, 0]
