"""The bound holds as often as it says, whoever foretells, and needs as many patients as the arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.quality.conformal_bound import conformal_margin, fewest_patients, lower_bound

ROUNDS = 3000


def names(count: int, images: int = 1) -> list[str]:
    return [f"p{number // images}" for number in range(count * images)]


def test_nine_patients_are_the_fewest_for_nine_in_ten() -> None:
    told, real = np.full(9, 0.8), np.linspace(0.6, 0.9, 9)
    assert conformal_margin(told[:8], real[:8], names(8)) is None
    assert conformal_margin(told, real, names(9)) == pytest.approx(0.2)
    # Many images of few patients are no more patients.
    assert conformal_margin(np.tile(told[:8], 5), np.tile(real[:8], 5), names(8) * 5) is None


@pytest.mark.parametrize(("count", "coverage"), [(9, 0.9), (19, 0.9), (29, 0.9), (25, 0.75), (40, 0.95)])
def test_with_one_image_each_it_is_an_order_statistic(count: int, coverage: float) -> None:
    shortfall = np.random.default_rng(count).permutation(count) / count
    rank = int(np.ceil((count + 1) * coverage - 1e-9))
    margin = conformal_margin(shortfall, np.zeros(count), names(count), coverage)
    assert margin == np.sort(shortfall)[rank - 1]
    assert fewest_patients(coverage) <= count


@pytest.mark.parametrize(("patients", "images"), [(9, 1), (19, 1), (30, 1), (12, 3)])
def test_it_holds_in_new_patients_as_often_as_it_says(patients: int, images: int) -> None:
    rng = np.random.default_rng(7)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        """A foretold Dice that is biased and knows little, and a skewed real one; images of a patient are alike."""
        of_patient = np.repeat(rng.exponential(0.1, count), images)
        real = 0.95 - of_patient - rng.exponential(0.02, count * images)
        return 0.9 + 0.2 * (real - 0.8) + rng.normal(0, 0.05, len(real)), real

    held = 0
    for _ in range(ROUNDS):
        margin = conformal_margin(*draw(patients), names(patients, images))
        told, real = draw(1)
        assert margin is not None
        held += bool(real[0] >= told[0] - margin)
    error = 4 * (0.09 / ROUNDS) ** 0.5
    assert held / ROUNDS >= 0.9 - error
    if images == 1:
        assert held / ROUNDS <= 0.9 + 1 / (patients + 1) + error


def test_a_patient_with_many_images_counts_as_one() -> None:
    # Patient b has ninety bad images, the other ten one good one each.
    real = np.array([0.9] * 10 + [0.1] * 90)
    patients = [*names(10), *["b"] * 90]
    assert conformal_margin(np.full(100, 0.9), real, patients, 0.8) == pytest.approx(0)
    assert conformal_margin(np.full(100, 0.9), real, patients, 0.9) == pytest.approx(0.8)


def test_a_bound_stays_a_dice_and_is_made_from_numbers() -> None:
    assert (lower_bound(0.3, 0.5), lower_bound(0.9, -0.4)) == (0, 1)
    assert lower_bound(0.9, 0.1) == pytest.approx(0.8)
    # A confidence of minus infinity, as that of an empty result, would make the bound of the next image 1.
    for told in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="numbers"):
            conformal_margin(np.array([told] * 9), np.zeros(9), names(9))
    with pytest.raises(ValueError, match="one of each image"):
        conformal_margin(np.zeros(9), np.zeros(9), names(12))
    for coverage in (0.0, 1.0, 90.0, np.nan):
        with pytest.raises(ValueError, match="share"):
            fewest_patients(coverage)
