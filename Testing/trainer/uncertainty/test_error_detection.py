"""Error detection from histograms against exact figures of the same voxels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trainer.uncertainty.error_detection import (
    area_under_risk_coverage,
    auroc,
    error_histogram,
    error_rate,
    risk_coverage,
)


def voxels(count: int = 20_000, seed: int = 1, power: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Uncertain voxels are wrong more often; most are almost certain, as in an image."""
    rng = np.random.default_rng(seed)
    uncertainty = rng.random(count) ** power
    return uncertainty, rng.random(count) < 0.6 * uncertainty


@pytest.mark.parametrize("power", [1.0, 3.0, 8.0])
def test_the_auroc_is_that_of_scikit_learn(power: float) -> None:
    uncertainty, wrong = voxels(power=power)
    found = float(auroc(error_histogram(uncertainty, wrong).astype(float)))
    assert found == pytest.approx(roc_auc_score(wrong, uncertainty), abs=2e-3)


def test_uncertainty_that_says_nothing_has_an_auroc_of_one_half() -> None:
    wrong = np.arange(100) < 30
    assert float(auroc(error_histogram(np.full(100, 0.4), wrong).astype(float))) == pytest.approx(0.5)


def test_perfect_and_perverse_uncertainty_have_an_auroc_of_1_and_0() -> None:
    wrong = np.arange(100) < 30
    assert float(auroc(error_histogram(np.where(wrong, 0.9, 0.1), wrong).astype(float))) == 1.0
    assert float(auroc(error_histogram(np.where(wrong, 0.1, 0.9), wrong).astype(float))) == 0.0


@pytest.mark.parametrize("wrong", [np.zeros(10, dtype=bool), np.ones(10, dtype=bool)])
def test_without_both_kinds_of_voxels_there_is_no_auroc(wrong: np.ndarray) -> None:
    assert np.isnan(auroc(error_histogram(np.linspace(0, 1, 10), wrong).astype(float)))


def test_the_area_is_the_mean_risk_over_all_numbers_of_voxels_kept() -> None:
    uncertainty, wrong = voxels()
    kept = np.cumsum(wrong[np.argsort(uncertainty)]) / np.arange(1, len(wrong) + 1)
    found = float(area_under_risk_coverage(error_histogram(uncertainty, wrong).astype(float)))
    assert found == pytest.approx(float(kept.mean()), abs=1e-3)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_area_of_a_perfect_ranking_is_known(rate: float) -> None:
    count = 100_000
    uncertainty = np.linspace(0, 1, count)
    wrong = uncertainty >= 1 - rate
    found = float(area_under_risk_coverage(error_histogram(uncertainty, wrong).astype(float)))
    assert found == pytest.approx(rate + (1 - rate) * np.log(1 - rate), abs=2e-3)


def test_the_area_of_a_ranking_that_says_nothing_is_the_error_rate() -> None:
    rng = np.random.default_rng(3)
    wrong = rng.random(200_000) < 0.2
    histogram = error_histogram(rng.random(200_000), wrong).astype(float)
    assert float(error_rate(histogram)) == pytest.approx(float(wrong.mean()))
    assert float(area_under_risk_coverage(histogram)) == pytest.approx(0.2, abs=0.01)


def test_the_curve_ends_with_all_voxels_and_the_error_rate() -> None:
    histogram = error_histogram(*voxels()).astype(float)
    coverage, risk = risk_coverage(histogram)
    assert coverage[-1] == 1.0
    assert risk[-1] == pytest.approx(float(error_rate(histogram)))
    assert (np.diff(coverage) >= 0).all()


def test_histograms_add_up_and_leading_axes_are_kept() -> None:
    uncertainty, wrong = voxels(900)
    parts = np.stack([error_histogram(uncertainty[i::3], wrong[i::3]) for i in range(3)]).astype(float)
    np.testing.assert_array_equal(parts.sum(axis=0), error_histogram(uncertainty, wrong))
    for figure in (auroc, area_under_risk_coverage, error_rate):
        assert figure(parts).shape == (3,)
        assert figure(parts)[1] == pytest.approx(float(figure(parts[1])))


def test_without_voxels_there_is_no_area() -> None:
    empty = error_histogram(np.empty(0), np.empty(0, dtype=bool)).astype(float)
    assert np.isnan(area_under_risk_coverage(empty))
    assert np.isnan(error_rate(empty))
