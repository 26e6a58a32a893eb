"""Oracles of the predicted Dice and its bound on patients whom they were not learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.quality.image_quality import image_quality
from Testing.trainer.failure.synthetic_image import measured
from trainer.failure.confidence import confidences
from trainer.failure.findings import findings
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.shipped_quality import bound_coverage, predicted_dice, sample_of
from trainer.quality.quality_fit import fit_corrections, fit_quality


def image(patient: str, dice: float, expected: float, *, kind: str = CLEAN, entropy: float = 0.5) -> MeasuredImage:
    traits = {"expected_dice": expected, "expected_dice_lowest": expected, "entropy": entropy, "labels_found": 1.0}
    return replace(measured(patient, dice, kind=kind, traits=traits), expected_dice={"part": expected})


def cohort(seed: int, patients: int, *, noise: float = 0.03) -> list[MeasuredImage]:
    """The Dice falls short of what is expected by as much as the entropy says, but for noise."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(patients):
        for kind in (CLEAN, "noise", "blur"):
            entropy = rng.uniform(0.2, 0.8) if kind != CLEAN else 0.2 + 0.1 * rng.random()
            dice = 0.95 - 0.8 * (entropy - 0.2) + rng.normal(0, noise)
            found.append(image(f"p{number}", float(np.clip(dice, 0, 1)), 0.9, kind=kind, entropy=entropy))
    return found


def test_what_is_learnt_of_other_patients_beats_the_expected_dice() -> None:
    images = cohort(1, 30)
    dice = np.array([own.mean_dice for own in images])
    told = predicted_dice(images)
    # Far from all clean images a trait counts no more: what is worse still is foretold as if it were not.
    assert np.abs(told - dice).mean() < 0.6 * np.abs(0.9 - dice).mean()


def test_an_image_is_foretold_without_its_own_patient() -> None:
    images = cohort(2, 12)
    changed = [replace(own, dice={"part": 0.0}) if own.group == "p3" else own for own in images]
    before, after = predicted_dice(images, faults_known=True), predicted_dice(changed, faults_known=True)
    own = np.array([one.group == "p3" for one in images])
    np.testing.assert_array_equal(before[own], after[own])
    assert not np.allclose(before[~own], after[~own])


def test_where_nothing_was_found_nothing_is_foretold() -> None:
    images = [*cohort(3, 12), replace(image("q", 0.0, 0.5), expected_dice={"part": float("nan")})]
    assert np.isnan(predicted_dice(images)[-1])
    assert not np.isnan(predicted_dice(images)[:-1]).any()


def test_of_a_task_with_a_single_patient_nothing_is_foretold_and_its_rows_have_no_figures() -> None:
    alone = [replace(own, task="B") for own in cohort(6, 1)]
    images = [*cohort(3, 12), *alone]
    rows = confidences(images)
    for name in ("predicted_dice", "predicted_dice_faults_known"):
        np.testing.assert_array_equal(np.isnan(rows[name]), [own.task == "B" for own in images])
    found = findings(images, rows, 0, 10)
    assert "predicted_dice" not in found["tasks"]["B"]["rows"]
    assert found["means"]["predicted_dice"]["aurc"]["tasks"] == 1
    assert "predicted_dice" not in findings(alone, confidences(alone), 0, 10)["means"]


def test_a_task_whose_patients_chance_has_put_aside_together_is_foretold_by_each_other() -> None:
    def named(task: str, seed: int, names: str) -> list[MeasuredImage]:
        by_patient = dict(zip(sorted({own.group for own in cohort(seed, len(names))}), names, strict=True))
        return [replace(own, task=task, group=by_patient[own.group]) for own in cohort(seed, len(names))]

    # Of eleven names the first and the last are dealt into one of ten folds.
    images = [*named("A", 7, "bcdefghij"), *named("B", 8, "ak")]
    others = [own for own in images if own.group != "a"]
    samples = [[sample_of(own) for own in others if own.task == task] for task in "AB"]
    known = fit_corrections(samples)[1]
    expected = [image_quality({0: 0.9}, sample_of(own).traits, known).mean for own in images if own.group == "a"]
    told = predicted_dice(images, faults_known=True)[[own.group == "a" for own in images]]
    np.testing.assert_allclose(told, np.array(expected, dtype=np.float64))


def test_where_nothing_was_found_the_predicted_dice_has_the_lowest_confidence() -> None:
    nothing = image("q", 0.0, 0.5)
    traits = {**nothing.traits, "labels_found": 0.0}
    rows = confidences([*cohort(3, 12), replace(nothing, expected_dice={"part": float("nan")}, traits=traits)])
    assert rows["predicted_dice"][-1] == -np.inf
    assert np.isfinite(rows["predicted_dice"][:-1]).all()


def test_corrections_alone_are_those_of_the_whole_fit() -> None:
    samples = [[sample_of(own) for own in cohort(4, 12)]]
    (whole,) = fit_quality(samples).tasks
    (alone,) = fit_corrections(samples)
    assert replace(whole, margin=None, patients=0) == replace(alone, patients=0)
    assert whole.margin is not None


def test_nine_of_ten_structures_of_new_patients_reach_their_bound() -> None:
    found = [bound_coverage(cohort(seed, 40, noise=0.05))["A"] for seed in range(5)]
    assert np.mean([own["coverage"] for own in found]) == pytest.approx(0.9, abs=0.06)
    assert all(own["structures"] == own["patients"] == 40 for own in found)  # clean images alone
    assert all(own["interval"][0] <= own["coverage"] <= own["interval"][1] for own in found)


def test_a_task_of_few_patients_has_no_bound_to_judge() -> None:
    assert bound_coverage(cohort(5, 9)) == {}
    assert set(bound_coverage(cohort(5, 10))) == {"A"}
