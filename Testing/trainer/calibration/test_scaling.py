"""Calibration forms on voxels whose temperatures are known."""

from __future__ import annotations

import numpy as np
import pytest

from Testing.runtime.labels.surface_oracle import soften_near_surface, surface_band
from trainer.calibration.scaling import (
    FORMS,
    FitVoxels,
    Scaling,
    cross_fitted,
    draw_fit_voxels,
    fit_biased_temperature,
    fit_surface,
    log_probabilities_of,
    softmax,
)
from trainer.calibration.temperature import LabelledLogits, fit_temperature, negative_log_likelihood

SHAPE = (1, 40, 60)


def image(near: float, far: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``(2, Z, Y, X)`` that are too sharp by one factor near their surface and by another far from it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-3, 3, SHAPE[2])[None, None, :] + 0.7 * rng.normal(size=SHAPE)
    right = np.stack([np.zeros(SHAPE), ramp])
    foreground = rng.random(SHAPE) < softmax(right.astype(np.float32))[1]
    band = surface_band((ramp > 0).astype(np.uint8))
    return (right * np.where(band, near, far)).astype(np.float32), foreground.astype(np.uint8)


def drawn(near: float, far: float, cases: int = 8, first: int = 0) -> list[FitVoxels]:
    rng = np.random.default_rng(0)
    return [draw_fit_voxels(*image(near, far, seed), rng) for seed in range(first, first + cases)]


def test_the_two_temperatures_near_and_far_from_the_surface_are_recovered() -> None:
    found = fit_surface(drawn(3.0, 1.5))
    assert found.temperature == pytest.approx(1.5, rel=0.1)
    assert found.surface_temperature == pytest.approx(3.0, rel=0.1)


def test_a_known_temperature_and_background_bias_are_recovered() -> None:
    rng = np.random.default_rng(2)
    right = 2 * rng.normal(size=(40_000, 3))
    shares = softmax(right.T.astype(np.float32)).T
    labels = (shares.cumsum(axis=1) < rng.random((len(shares), 1))).sum(axis=1).clip(0, 2)
    wrong = 2.0 * (right - np.array([0.8, 0.0, 0.0]))
    temperature, bias = fit_biased_temperature(LabelledLogits(wrong.astype(np.float32), labels.astype(np.int64)))
    assert temperature == pytest.approx(2.0, rel=0.05)
    assert bias == pytest.approx(0.8, abs=0.05)


def test_without_voxels_no_form_changes_anything() -> None:
    empty = LabelledLogits(np.empty((0, 2), np.float32), np.empty(0, np.int64))
    for fit in FORMS.values():
        scaling = fit([FitVoxels(empty, empty, empty)])
        assert (scaling.temperature, scaling.surface_temperature or 1.0, scaling.bias) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("scaling", [Scaling(3.0), Scaling(0.5, 4.0), Scaling(2.0, 9.0)])
def test_temperatures_leave_the_most_probable_label(scaling: Scaling) -> None:
    logits, _ = image(2.0, 1.0)
    found = scaling.probabilities(logits)
    np.testing.assert_array_equal(found.argmax(axis=0), logits.argmax(axis=0))
    np.testing.assert_allclose(found.sum(axis=0), 1.0, rtol=1e-5)


def test_a_bias_says_less_about_a_label_but_not_another_one_in_its_place() -> None:
    logits, _ = image(2.0, 1.0)
    biased = Scaling(2.0, 3.0, bias=5.0, surface_bias=4.0)
    assert (biased.probabilities(logits)[1] < biased.without_bias.probabilities(logits)[1]).all()
    np.testing.assert_array_equal(biased.without_bias.probabilities(logits).argmax(axis=0), logits.argmax(axis=0))


def test_the_trainer_and_the_runtime_calibrate_alike() -> None:
    logits, _ = image(2.0, 1.0)
    shipped = soften_near_surface(softmax(logits / np.float32(1.5)).astype(np.float16), 1.5, 4.0)
    np.testing.assert_allclose(shipped, Scaling(1.5, 4.0).probabilities(logits), atol=2e-3)


def test_logarithms_of_probabilities_are_as_good_as_logits() -> None:
    logits, _ = image(2.0, 1.0)
    scaling = Scaling(1.5, 4.0, 0.3, -0.2)
    expected = scaling.probabilities(logits)
    np.testing.assert_allclose(scaling.probabilities(log_probabilities_of(logits)), expected, atol=1e-5)


def test_drawn_voxels_stand_for_their_whole_region() -> None:
    logits, truth = image(2.0, 1.0)
    band = surface_band(logits.argmax(axis=0))
    voxels = draw_fit_voxels(logits, truth, np.random.default_rng(1))
    assert voxels.surface.weight.sum() == pytest.approx(band.sum())
    assert voxels.interior.weight.sum() == pytest.approx((~band).sum())


def weighted_and_repeated() -> tuple[LabelledLogits, LabelledLogits, LabelledLogits]:
    """Voxels that are half as sharp as they should be beside others that are twice as sharp and count four times."""
    rng = np.random.default_rng(3)
    right = 2 * rng.normal(size=(3_000, 2))
    labels = (rng.random(len(right)) < softmax(right.T.astype(np.float32))[1]).astype(np.int64)
    counts = np.where(np.arange(len(right)) % 2, 4, 1)
    logits = (right * np.where(counts == 4, 2.0, 0.5)[:, None]).astype(np.float32)
    repeated = LabelledLogits(np.repeat(logits, counts, axis=0), np.repeat(labels, counts))
    return LabelledLogits(logits, labels, counts.astype(np.float64)), repeated, LabelledLogits(logits, labels)


def test_weights_count_like_repeated_voxels() -> None:
    weighted, repeated, alike = weighted_and_repeated()
    found = fit_temperature(weighted)
    assert found == pytest.approx(fit_temperature(repeated), rel=1e-3)
    assert 0.5 < found < 2.0, "a limit would hide what the weights do"
    assert found > 1.2 * fit_temperature(alike)
    for temperature in (0.7, 1.0, 3.0):
        expected = negative_log_likelihood(repeated, temperature)
        assert negative_log_likelihood(weighted, temperature) == pytest.approx(expected, rel=1e-5)


def test_weights_count_like_repeated_voxels_where_a_bias_is_fitted_too() -> None:
    weighted, repeated, alike = weighted_and_repeated()
    found = fit_biased_temperature(weighted)
    assert found == pytest.approx(fit_biased_temperature(repeated), rel=1e-2, abs=1e-2)
    assert found[0] > 1.2 * fit_biased_temperature(alike)[0]


def test_no_case_is_judged_by_a_temperature_that_its_own_group_had_a_part_in() -> None:
    ordinary, odd = drawn(1.0, 1.0, cases=3), drawn(4.0, 4.0, cases=1, first=9)
    cases, groups = [*ordinary, *odd], ["a", "b", "c", "odd"]
    found = cross_fitted(cases, groups, FORMS["whole_image_temperature"])
    assert found[3] == FORMS["whole_image_temperature"](ordinary)
    for number in range(3):
        others = [case for index, case in enumerate(cases) if index != number]
        assert found[number] == FORMS["whole_image_temperature"](others)


def test_cases_of_one_group_are_left_out_together() -> None:
    cases = drawn(2.0, 1.0, cases=4)
    found = cross_fitted(cases, ["a", "a", "b", "b"], FORMS["temperature"])
    assert found[0] == found[1] == FORMS["temperature"](cases[2:])
    assert found[2] == found[3] == FORMS["temperature"](cases[:2])


def test_a_single_group_stays_as_it_is() -> None:
    assert cross_fitted(drawn(2.0, 1.0, cases=2), ["a", "a"], FORMS["surface_temperature"]) == [Scaling(), Scaling()]


def test_more_groups_than_folds_are_dealt_out() -> None:
    cases = drawn(2.0, 1.0, cases=5)
    found = cross_fitted(cases, list("abcde"), FORMS["temperature"], folds=2)
    assert found[0] == found[2] == found[4] == FORMS["temperature"]([cases[1], cases[3]])
