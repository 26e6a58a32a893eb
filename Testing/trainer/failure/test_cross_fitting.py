"""Fits never see the patient nor the fault of what they foretell, and what is planted is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from Testing.trainer.failure.synthetic_image import measured
from trainer.failure import quality_regression as regression
from trainer.failure.confidence import confidences
from trainer.failure.cross_fitting import cross_fitted
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.failure.quality_regression import forest, linear, quality_regression, simple_forest


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "TREES", 25)


PATIENTS = [f"p{n}" for n in range(23) for _ in range(3)]
KINDS = [CLEAN, "noise", "blur"] * 23


def test_neither_the_patient_nor_the_kind_of_an_image_is_fitted_on() -> None:
    seen = np.zeros((len(PATIENTS), len(PATIENTS)), dtype=bool)

    def foretell(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        seen[np.ix_(wanted, known)] = True
        return np.flatnonzero(wanted).astype(float)

    told = cross_fitted(PATIENTS, KINDS, foretell)
    np.testing.assert_array_equal(told, np.arange(len(PATIENTS)))
    for image, others in enumerate(seen):
        known = [(PATIENTS[i], KINDS[i]) for i in np.flatnonzero(others)]
        assert all(patient != PATIENTS[image] for patient, _ in known)
        assert all(kind == CLEAN or kind != KINDS[image] for _, kind in known)
        assert {kind for _, kind in known} == ({*KINDS} if KINDS[image] == CLEAN else {*KINDS} - {KINDS[image]})


def test_where_faults_are_known_only_the_patient_is_left_out() -> None:
    told = cross_fitted(
        PATIENTS, KINDS, lambda known, wanted: np.full(int(wanted.sum()), known.sum()), faults_known=True
    )
    # 23 patients in ten folds: three of two or three.
    assert set(told) == {60, 63}


def test_where_nothing_can_be_learnt_the_expected_dice_remains() -> None:
    rng = np.random.default_rng(1)
    images = [measured(f"p{n}", 0.9, traits={"expected_dice": 0.85}) for n in range(9)]
    images += [measured(f"p{n}", 0.9, kind="blur", traits={"expected_dice": rng.random()}) for n in range(9)]
    told = quality_regression(images, linear)
    # The clean images, all alike, teach nothing about the only fault.
    np.testing.assert_allclose(told[9:], [image.traits["expected_dice"] + 0.05 for image in images[9:]], atol=1e-6)


def test_of_a_patient_who_is_alone_nothing_is_foretold() -> None:
    told = cross_fitted(["p", "p"], [CLEAN, "noise"], lambda known, wanted: np.zeros(int(wanted.sum())))
    assert np.isnan(told).all()
    images = [measured("p", 0.8), measured("p", 0.4, kind="noise")]
    for values in (simple_forest(images), quality_regression(images, linear)):
        assert np.isnan(values).all()


def planted(task: str, patients: int, usual: float, seed: int) -> list[MeasuredImage]:
    """Images whose Dice falls as their entropy rises above what is usual of the task."""
    rng = np.random.default_rng(seed)
    images = []
    for patient in range(patients):
        for kind in (CLEAN, "noise", "blur"):
            more = 0.0 if kind == CLEAN else rng.uniform(0, 0.3)
            traits = {"entropy_foreground": usual / 2 + more, "entropy": rng.random()}
            images.append(measured(f"{task}{patient}", usual - more, task=task, kind=kind, traits=traits))
    return images


@pytest.mark.parametrize("make", [linear, forest])
def test_one_function_serves_tasks_of_different_difficulty_also_one_of_two_patients(make: type) -> None:
    images = [*planted("A", 12, 0.95, 0), *planted("B", 2, 0.6, 1)]
    told = quality_regression(images, make)
    for task in "AB":
        own = [image.task == task for image in images]
        dice = [image.mean_dice for image, chosen in zip(images, own, strict=True) if chosen]
        assert spearmanr(told[own], dice).statistic > 0.55
        assert np.abs(told[own] - dice).max() < 0.15


def test_of_few_images_nothing_is_learnt() -> None:
    few = [measured(f"p{n}", 0.5 + n / 20) for n in range(8)]
    for told in (simple_forest(few), quality_regression(few, linear)):
        assert np.isnan(told).all()
    assert not np.isnan(quality_regression([*few, measured("p9", 0.9)], linear)).any()


def test_from_noise_nothing_can_be_learnt() -> None:
    rng = np.random.default_rng(0)
    images = [
        measured(patient, rng.random(), kind=kind, traits={"entropy": rng.random(), "pieces": rng.random()})
        for patient, kind in zip(PATIENTS[:30], KINDS[:30], strict=True)
    ]
    dice = [image.mean_dice for image in images]
    for told in (simple_forest(images), quality_regression(images, forest)):
        assert spearmanr(told, dice).statistic < 0.45


def test_beyond_what_was_seen_the_linear_function_stays_where_it_is() -> None:
    images = planted("A", 8, 0.9, 0)
    far, farther = (
        [*images, measured("new", 0.1, kind="gamma", traits={"entropy_foreground": value})] for value in (5.0, 500.0)
    )
    assert quality_regression(far, linear)[-1] == pytest.approx(quality_regression(farther, linear)[-1])
    assert quality_regression(far, linear)[-1] < 0.75


def test_a_small_task_whose_patients_are_all_dealt_into_one_fold_is_foretold_all_the_same() -> None:
    # Of eleven names in ten folds the first and the last share one.
    renamed = {"B0": "0 first", "B1": "z last"}
    small = [replace(image, group=renamed[image.group]) for image in planted("B", 2, 0.6, 1)]
    for images in ([*planted("A", 9, 0.9, 0), *small], small):
        told = quality_regression(images, linear)
        assert np.isfinite(told).all() == (len(images) > len(small))


def test_a_score_of_zero_or_beyond_all_numbers_does_not_stop_a_fit() -> None:
    images = [
        replace(image, score=score)
        for image, score in zip(planted("A", 6, 0.9, 0), [0.0, np.inf, 1.0] * 6, strict=True)
    ]
    assert np.isfinite(quality_regression(images, linear)).all()


def test_where_nothing_was_found_every_confidence_is_the_lowest() -> None:
    missing = ("expected_dice", "entropy_foreground", "entropy_boundary", "confidence_foreground")
    nothing = dict.fromkeys(missing, np.nan) | {"labels_found": 0.0, "entropy": 0.0}
    images = [
        measured("p", 0.9, agreement={"ensemble": 0.9}),
        measured("q", 0.0, traits=nothing, agreement={"ensemble": np.nan}),
    ]
    rows = confidences(images)
    assert {"entropy", "expected_dice", "ood_score", "quality_forest", "pairwise_dice_ensemble"} <= set(rows)
    for values in rows.values():
        assert values[1] == -np.inf
        assert values[0] != -np.inf


def test_what_the_verdict_flags_lies_below_all_that_it_lets_pass() -> None:
    images = [
        measured(str(n), 0.5, traits={"expected_dice": value}, is_ood=flagged)
        for n, (value, flagged) in enumerate([(0.99, True), (0.01, False), (0.5, True), (0.6, False)])
    ]
    assert np.argsort(confidences(images)["verdict_and_expected_dice"]).tolist() == [2, 0, 1, 3]
