"""Calibration of a task on images whose logits are too sharp by known factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from Testing.runtime.labels.surface_oracle import surface_band
from trainer.calibration.scaling import softmax
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration

SHAPE = (1, 40, 60)


def case(seed: int, near: float = 3.0, far: float = 1.5) -> HeldOutCase:
    """Sharper than the truth by one factor near the predicted surface and by another elsewhere."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-3, 3, SHAPE[2])[None, None, :] + 0.7 * rng.normal(size=SHAPE)
    right = np.stack([np.zeros(SHAPE), ramp])
    labels = (rng.random(SHAPE) < softmax(right.astype(np.float32))[1]).astype(np.uint8)
    band = surface_band((ramp > 0).astype(np.uint8))
    return HeldOutCase(f"p{seed}", (right * np.where(band, near, far)).astype(np.float32), labels)


def calibrated(cases: list[HeldOutCase]) -> tuple[TaskCalibration, dict[str, float]]:
    calibration = TaskCalibration(seed=0)
    for one in cases:
        calibration.add(one)
    return calibration, calibration.figures()


def test_the_calibration_error_of_images_that_are_too_sure_all_but_vanishes() -> None:
    calibration, figures = calibrated([case(seed) for seed in range(8)])
    assert calibration.scaling().temperature == pytest.approx(1.5, rel=0.1)
    assert calibration.scaling().surface_temperature == pytest.approx(3.0, rel=0.1)
    assert figures["ece_uncalibrated"] > 0.05
    assert figures["ece"] < 0.02


def test_images_that_are_right_already_stay_so() -> None:
    _, figures = calibrated([case(seed, 1.0, 1.0) for seed in range(8)])
    assert figures["ece_uncalibrated"] < 0.02
    assert figures["ece"] < 0.03


def test_a_patient_unlike_the_others_is_judged_by_the_others_temperatures() -> None:
    calibration, _ = calibrated([case(seed) for seed in range(4)] + [case(9, 1.0, 1.0)])
    *ordinary, odd = calibration.unseen()
    assert odd.temperature == pytest.approx(1.5, rel=0.1)
    assert odd.surface_temperature == pytest.approx(3.0, rel=0.1)
    # The odd one had a part in all others.
    assert max(scaling.temperature for scaling in ordinary) < odd.temperature


def test_the_figures_do_not_flatter_temperatures_that_help_no_other_patient() -> None:
    """Of two patients the one that is too sure stays so, and the other, which is right, becomes too unsure."""
    sure, right = case(1), case(2, 1.0, 1.0)
    assert calibrated([sure, right])[1]["ece"] > 0.04
    # Where each has a companion of its own kind the others' temperatures lie halfway.
    both = [replace(one, group=group) for one in (sure, right) for group in ("a", "b")]
    assert calibrated(both)[1]["ece"] < calibrated([sure, right])[1]["ece"]


def test_rare_errors_far_from_the_surface_are_not_left_to_the_luck_of_the_draw() -> None:
    """One voxel in twenty thousand is wrong: a draw of five thousand would often miss it, and say that none ever is."""
    labels = np.zeros((1, 200, 300), dtype=np.uint8)
    labels[:, 60:140, 80:220] = 1
    logits = 12.0 * np.stack([labels == 0, labels == 1]).astype(np.float32)
    truth = labels.copy()
    truth[0, [5, 100, 190], [5, 150, 290]] ^= 1
    found = []
    for seed in range(4):
        calibration = TaskCalibration(seed)
        calibration.add(HeldOutCase("p", logits, truth))
        found.append(calibration.scaling().temperature)
    # The share of wrong voxels is exp(-12 / T) over one more than that.
    assert found == pytest.approx([12 / np.log(60_000 / 3 - 1)] * 4, rel=0.02)
