"""Labels and uncertainty from probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.geometry import Reorientation
from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from Testing.runtime.labels.labelled_at_once import label_image
from Testing.runtime.upright import UPRIGHT, upright

SHAPE = (3, 4, 5)
PROFILE = Profile("p", "spacing", Intensity("percentile", 1.0, 99.0), spacing_zyx_mm=(1.0, 1.0, 1.0))


def task(*values: int) -> TaskInfo:
    labels = tuple(LabelInfo(v, f"label{v}", f"label {v}", (1, 2, 3), "") for v in values)
    return TaskInfo("task", "T1", "head", labels, PROFILE, 0, 1.0, "none", 1, 1)


def prepared(shape: tuple[int, int, int] = SHAPE, reorientation: Reorientation = UPRIGHT) -> Prepared:
    return upright(np.zeros(SHAPE, dtype=np.float32), shape, reorientation)


def softmax(classes: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(classes).normal(size=(classes, *SHAPE))
    shares = np.exp(logits)
    return (shares / shares.sum(axis=0)).astype(np.float16)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_equally_likely_labels_have_uncertainty_1(classes: int) -> None:
    uniform = np.full((classes, *SHAPE), 1 / classes, dtype=np.float16)
    found = label_image(uniform, task(*range(1, classes)), prepared())
    np.testing.assert_allclose(found.uncertainty, 1.0, atol=2e-3)
    np.testing.assert_allclose(found.confidence, 1 / classes, atol=1e-3)


@pytest.mark.parametrize("certain", [0, 1, 2])
def test_a_certain_label_has_uncertainty_0_and_confidence_1(certain: int) -> None:
    one_hot = np.zeros((3, *SHAPE), dtype=np.float16)
    one_hot[certain] = 1
    found = label_image(one_hot, task(4, 9), prepared())
    np.testing.assert_allclose(found.uncertainty, 0.0, atol=1e-6)
    np.testing.assert_allclose(found.confidence, 1.0)
    assert (found.labels == [0, 4, 9][certain]).all()


def test_uncertainty_is_the_entropy_in_units_of_its_largest_value() -> None:
    shares = np.zeros((3, *SHAPE), dtype=np.float16)
    shares[0], shares[1] = 0.75, 0.25
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(3)
    np.testing.assert_allclose(label_image(shares, task(1, 2), prepared()).uncertainty, expected, rtol=1e-5)


def test_a_probability_that_is_no_number_is_refused_and_not_called_background() -> None:
    shares = softmax(3)
    shares[:, 1, 2, 3] = np.nan
    with pytest.raises(ModelError, match="numbers of this image that are not finite"):
        label_image(shares, task(4, 9), prepared())


@pytest.mark.parametrize("values", [(1,), (3, 1), (7, 200, 255)])
def test_labels_are_the_values_of_the_largest_probability(values: tuple[int, ...]) -> None:
    shares = softmax(1 + len(values))
    found = label_image(shares, task(*values), prepared())
    assert found.labels.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, np.array([0, *values])[shares.argmax(axis=0)])
    np.testing.assert_allclose(found.confidence, shares.max(axis=0), rtol=1e-6)


def test_maps_on_another_grid_stay_in_range() -> None:
    found = label_image(softmax(4), task(1, 2, 3), prepared((7, 3, 11)))
    assert found.labels.shape == found.uncertainty.shape == found.confidence.shape == (7, 3, 11)
    for share in (found.uncertainty, found.confidence):
        assert share.dtype == np.float32
        assert 0 <= share.min() <= share.max() <= 1
    assert set(np.unique(found.labels)) <= {0, 1, 2, 3}


def test_the_order_of_labels_in_the_head_does_not_count() -> None:
    shares = softmax(3)
    one = label_image(shares, task(1, 2), prepared((6, 5, 4)))
    other = label_image(shares[[0, 2, 1]], task(2, 1), prepared((6, 5, 4)))
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.uncertainty, other.uncertainty, atol=1e-6)


def test_maps_come_back_in_the_stored_order() -> None:
    turn = Reorientation((2, 0, 1), (True, False, True))
    shares = softmax(3)
    found = label_image(shares, task(1, 2), prepared(reorientation=turn))
    np.testing.assert_array_equal(turn.apply(found.labels), shares.argmax(axis=0))


def test_of_a_structure_in_one_piece_only_the_most_probable_piece_is_kept() -> None:
    shares = np.zeros((2, *SHAPE), dtype=np.float16)
    shares[0] = 1
    shares[:, 0, 0, 0] = [0.0, 1.0]
    shares[:, 2, 2:, 3:] = np.array([0.45, 0.55])[:, None, None]
    many = label_image(shares, task(5), prepared())
    single = label_image(shares, replace(task(5), single_component=True), prepared())
    assert (many.labels == 5).sum() == 5
    assert np.argwhere(single.labels == 5).tolist() == [[0, 0, 0]]
    # What was removed is background with the background's probability, and as uncertain as before.
    np.testing.assert_allclose(single.confidence[2, 2:, 3:], 0.45, atol=1e-3)
    np.testing.assert_array_equal(single.uncertainty, many.uncertainty)


def test_the_predicted_dice_of_two_labels_worked_out_by_hand() -> None:
    shares = np.zeros((3, *SHAPE), dtype=np.float16)
    shares[0] = 1
    shares[:, 0, 0, 0] = [0.25, 0.75, 0.0]
    shares[:, 0, 0, 1] = [0.5, 0.25, 0.25]
    shares[:, 0, 0, 2] = [0.25, 0.0, 0.75]
    found = label_image(shares, task(4, 9), prepared())
    # Each label has one voxel with probability 0.75, and 1.0 in the whole image.
    assert found.predicted_dice == pytest.approx({4: 2 * 0.75 / (1.0 + 1), 9: 2 * 0.75 / (1.0 + 1)})


def test_certain_labels_have_a_predicted_dice_of_1_and_absent_ones_none() -> None:
    shares = np.zeros((3, *SHAPE), dtype=np.float16)
    shares[0], shares[:, 1] = 1, np.array([0, 1, 0])[:, None, None]
    assert label_image(shares, task(4, 9), prepared()).predicted_dice == {4: 1.0, 9: None}


def test_a_piece_that_was_removed_lowers_the_predicted_dice_as_a_missed_piece_does() -> None:
    shares = np.zeros((2, *SHAPE), dtype=np.float16)
    shares[0] = 1
    shares[:, 0, 0, 0] = [0.0, 1.0]
    shares[:, 2, 2:, 3:] = np.array([0.25, 0.75])[:, None, None]
    single = label_image(shares, replace(task(5), single_component=True), prepared())
    assert single.predicted_dice[5] == pytest.approx(2 * 0.75 * 4 / (1 + 0.75 * 4 + 4))


def test_a_surface_temperature_softens_the_band_and_leaves_the_labels() -> None:
    shares = np.zeros((2, 1, 3, 9), dtype=np.float16)
    shares[0], shares[1] = 0.1, 0.9
    shares[:, 0, :, 5:] = np.array([0.9, 0.1])[:, None, None]
    flat = prepared((1, 3, 9))
    plain = label_image(shares, task(1), flat)
    softened = label_image(shares, replace(task(1), temperature=2.0, surface_temperature=4.0), flat)
    np.testing.assert_array_equal(softened.labels, plain.labels)
    near, far = softened.confidence[0, 0, 3:7], softened.confidence[0, 0, [0, 1, 2, 7, 8]]
    np.testing.assert_allclose(far, 0.9, rtol=1e-3)
    # Twice the temperature halves the logit: 0.9 : 0.1 becomes 3 : 1.
    np.testing.assert_allclose(near, 0.75, rtol=1e-3)


def test_the_given_probabilities_are_not_changed() -> None:
    shares = softmax(3).astype(np.float32)
    before = shares.copy()
    label_image(shares, replace(task(1, 2), temperature=2.0, surface_temperature=4.0), prepared())
    np.testing.assert_array_equal(shares, before)
