"""The test of the p-value can fail: it notices tasks that lie farther out, and is silent when there is nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.stats import ks_2samp

from trainer.ood.p_value import KnownScores, conformal_p_values, uniformity_of_laws, uniformity_within_tasks


def scored(scores: np.ndarray, task: str, prefix: str = "") -> KnownScores:
    """One image of each patient of one task."""
    return KnownScores(scores, (task,) * len(scores), tuple(f"{prefix or task}{n}" for n in range(len(scores))))


def together(*parts: KnownScores) -> KnownScores:
    return KnownScores(
        np.concatenate([part.scores for part in parts]),
        tuple(task for part in parts for task in part.tasks),
        tuple(patient for part in parts for patient in part.patients),
    )


def outcome(outside: KnownScores, calibration: KnownScores, permutations: int = 400) -> dict[str, dict[str, Any]]:
    return uniformity_within_tasks(outside, calibration, np.random.default_rng(1), permutations)


def test_the_p_value_is_the_share_of_scores_at_least_as_large() -> None:
    found = conformal_p_values(np.array([0.0, 2.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(found, [4 / 4, 3 / 4, 2 / 4, 1 / 4])


def test_one_task_a_hundred_deviations_farther_out_is_noticed_in_both() -> None:
    rng = np.random.default_rng(0)
    known = together(scored(rng.normal(0, 1, 60), "near"), scored(rng.normal(100, 1, 51), "far"))
    found = outcome(known, known)
    assert max(figures["p"] for figures in found.values()) < 0.01
    assert found["near"]["mean_p_value"] == 1.0
    assert found["far"]["mean_p_value"] == pytest.approx(1 / 61)
    assert found["far"]["distance"] == pytest.approx(1 - 1 / 61)


def test_new_patients_with_heavy_tails_do_not_have_the_p_values_of_a_normal_calibration() -> None:
    rng = np.random.default_rng(0)
    calibration = scored(rng.normal(size=111), "heart", "old")
    assert outcome(scored(3 * rng.standard_cauchy(111), "heart", "new"), calibration)["heart"]["p"] < 0.01
    assert outcome(scored(rng.normal(size=111), "heart", "new"), calibration)["heart"]["p"] > 0.05


def test_heavy_tails_are_no_fault_where_all_have_them() -> None:
    rng = np.random.default_rng(0)
    parts = [scored(rng.standard_cauchy(30), task) for task in ("a", "b", "c")]
    assert min(figures["p"] for figures in outcome(together(*parts), together(*parts)).values()) > 0.05


def test_without_a_difference_one_experiment_in_twenty_finds_one() -> None:
    rng = np.random.default_rng(4)
    smallest = []
    for _ in range(80):
        known = together(*(scored(rng.normal(size=size), task) for size, task in ((12, "a"), (5, "b"), (8, "c"))))
        smallest.append(min(figures["p"] for figures in uniformity_within_tasks(known, known, rng, 79).values()))
    assert 0.01 < np.mean(np.array(smallest) <= 0.05) < 0.1


def test_with_one_image_each_it_is_the_test_of_two_samples() -> None:
    rng = np.random.default_rng(3)
    outside, calibration = scored(rng.normal(0.7, 1, 20), "a", "new"), scored(rng.normal(0, 1, 200), "a", "old")
    found = outcome(outside, calibration, permutations=2000)["a"]
    assert found["p"] == pytest.approx(ks_2samp(outside.scores, calibration.scores).pvalue, abs=0.02)


def test_a_patient_never_calibrates_the_p_value_that_he_is_tested_with() -> None:
    # The same patients have images of both tasks: nobody is left to calibrate with.
    both = together(scored(np.arange(5.0), "a", "p"), scored(np.arange(5.0), "b", "p"))
    assert [figures["p"] for figures in outcome(both, both).values()] == [None, None]
    others = scored(np.arange(5.0), "c", "q")
    found = outcome(both, together(both, others))
    assert found["a"]["mean_p_value"] == pytest.approx(np.mean([6, 5, 4, 3, 2]) / 6)


def test_every_patient_counts_once_however_many_images_he_has() -> None:
    calibration = scored(np.arange(9.0), "a", "old")
    outside = KnownScores(np.array([8.5] * 9 + [-1.0]), ("a",) * 10, ("many",) * 9 + ("one",))
    assert outcome(outside, calibration)["a"]["mean_p_value"] == pytest.approx((0.1 + 1.0) / 2)
    assert outcome(outside, calibration)["a"]["patients"] == 2


def test_p_values_are_corrected_for_the_number_of_tasks() -> None:
    rng = np.random.default_rng(0)
    calibration = scored(rng.normal(size=60), "old")
    far, near = scored(rng.normal(50, 1, 10), "far"), [scored(rng.normal(size=10), task) for task in "abc"]
    alone, among = outcome(far, calibration), outcome(together(far, *near), calibration)
    assert alone["far"]["p"] == pytest.approx(1 / 401)
    assert among["far"]["p"] == pytest.approx(4 / 401)


def test_p_values_of_true_laws_are_uniform_and_those_of_a_law_that_is_too_tight_are_not() -> None:
    rng = np.random.default_rng(0)
    names = ["right"] * 60 + ["tight"] * 60
    p_values = np.concatenate([rng.uniform(size=60), stats.norm.sf(rng.normal(0, 3, 60))])
    found = uniformity_of_laws(p_values, names, [f"p{n}" for n in range(120)])
    assert found["right"]["p"] > 0.05
    assert found["tight"]["p"] < 1e-3
    # Kolmogorov's distance, worked out from its definition.
    ordered = np.sort(p_values[:60])
    steps = np.arange(61) / 60
    assert found["right"]["distance"] == pytest.approx(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def test_a_patient_counts_once_for_a_law() -> None:
    once = uniformity_of_laws(np.array([0.2, 0.9]), ["A", "A"], ["p", "q"])
    often = uniformity_of_laws(np.array([0.2, 0.9, 0.3, 0.3]), ["A"] * 4, ["p", "q", "p", "q"])
    assert often == once
    assert once["A"]["patients"] == 2
