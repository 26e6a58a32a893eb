"""Figures within tasks, patients drawn once, and what the verdict is worth."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from Testing.trainer.failure.synthetic_image import measured
from trainer.failure import findings as module
from trainer.failure import verdict_worth as worth
from trainer.failure.failure_flag import FAILURE_DICE
from trainer.failure.findings import findings, row_figures
from trainer.failure.measured_image import MeasuredImage
from trainer.failure.verdict_worth import verdict_worth


def images(task: str, usual: float, told: float, seed: int) -> list[MeasuredImage]:
    """Images whose expected Dice says nothing about each but all about the task."""
    rng = np.random.default_rng(seed)
    return [
        measured(
            f"{task}{patient}", float(np.clip(usual + rng.normal(0, 0.05), 0, 1)), task=task, kind=kind, severity=level,
            traits={"expected_dice": told, "entropy": rng.random()}, score=1 + rng.random(), is_ood=level == 3,
        )
        for patient in range(6)
        for kind, level in (("clean", 0), ("noise", 1), ("noise", 3))
    ]  # fmt: skip


def rows(known: list[MeasuredImage]) -> dict[str, np.ndarray]:
    plain = {name: np.array([image.traits[name] for image in known]) for name in ("entropy", "expected_dice")}
    return {"entropy": -plain["entropy"], "expected_dice": plain["expected_dice"]}


def found_in(known: list[MeasuredImage], rounds: int = 10) -> dict[str, Any]:
    return findings(known, rows(known), seed=0, rounds=rounds)


def test_telling_tasks_apart_is_not_taken_for_telling_images_apart() -> None:
    found = found_in([*images("A", 0.9, 0.9, 0), *images("B", 0.5, 0.5, 1)])
    row = found["means"]["expected_dice"]
    assert row["n_aurc"]["value"] == pytest.approx(0)
    # B has failures alone and A none: within neither task they can be told.
    assert np.isnan(row["failure_auroc"]["value"])
    assert np.isnan(row["spearman"]["value"])
    assert row["aurc"]["value"] == pytest.approx(1 - np.mean([found["tasks"][t]["mean_dice"] for t in "AB"]))


def test_counts_and_intervals_are_told_and_all_is_plain() -> None:
    found = found_in(images("A", 0.75, 0.9, 0), 50)
    task = found["tasks"]["A"]
    assert (task["images"], task["patients"], task["clean_images"]) == (18, 6, 6)
    assert 0 < task["failures"] < 18
    low, high = task["rows"]["entropy"]["aurc"]["interval"]
    assert low < task["rows"]["entropy"]["aurc"]["value"] < high
    assert task["rows"]["entropy"]["gain_over_entropy"]["value"] == 0
    assert task["risk_coverage"]["best"][-1] == pytest.approx(task["risk_coverage"]["entropy"][-1])
    assert json.loads(json.dumps(found)).keys() == found.keys()


def test_a_row_that_could_not_be_fitted_in_a_task_has_no_figures_there() -> None:
    known = [*images("A", 0.8, 0.9, 0), *images("B", 0.8, 0.9, 1)]
    fitted = np.where([image.task == "A" for image in known], 0.5, np.nan)
    found = findings(known, rows(known) | {"random_forest": fitted}, seed=0, rounds=50)
    assert "random_forest" not in found["tasks"]["B"]["rows"]
    # Its mean and the interval are those of task A and of A's patients alone, and it says so.
    alone = found["tasks"]["A"]["rows"]["random_forest"]["aurc"]
    assert found["means"]["random_forest"]["aurc"] == alone | {"tasks": 1}
    assert found["means"]["entropy"]["aurc"]["tasks"] == 2


def test_a_patient_is_drawn_once_for_all_tasks_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    plain = row_figures

    def keep(confidence: np.ndarray, dice: np.ndarray, weights: np.ndarray) -> module.Figures:
        drawn.append(weights)
        return plain(confidence, dice, weights)

    monkeypatch.setattr(module, "row_figures", keep)
    both = [*images("A", 0.8, 0.9, 0), *images("A", 0.8, 0.9, 0)]
    half = len(both) // 2
    renamed = [*both[:half], *(MeasuredImage(**{**image.as_dict(), "task": "B"}) for image in both[half:])]
    found_in(renamed, 15)
    assert len(drawn) == 4
    for weights in drawn:
        np.testing.assert_array_equal(weights, drawn[0])
    # All images of a patient are drawn together.
    np.testing.assert_array_equal(drawn[0][:, 0::3], drawn[0][:, 1::3])


def test_an_error_of_the_dice_is_told_of_rows_that_foretell_it() -> None:
    found = found_in(images("A", 0.8, 0.9, 0))["tasks"]["A"]
    dice = [image.mean_dice for image in images("A", 0.8, 0.9, 0)]
    assert found["rows"]["expected_dice"]["error"]["value"] == pytest.approx(np.abs(0.9 - np.array(dice)).mean())
    assert "error" not in found["rows"]["entropy"]


def test_where_nothing_goes_wrong_there_is_no_gain_over_entropy_to_tell() -> None:
    known = [replace(image, dice={"part": 1.0}) for image in images("A", 0.8, 0.9, 0)]
    with np.errstate(all="raise"):
        found = found_in(known)["means"]["expected_dice"]
    assert np.isnan(found["gain_over_entropy"]["value"])
    assert (found["gain_over_entropy"]["tasks"], found["failure_auroc"]["tasks"], found["aurc"]["tasks"]) == (0, 0, 1)


def test_what_is_called_failures_accepted_is_the_rate_of_others_who_count_good_results_as_positive() -> None:
    rng = np.random.default_rng(3)
    confidence, dice = rng.integers(0, 15, 60).astype(float), rng.uniform(0.5, 1, 60)
    rate, found, _ = roc_curve(dice >= FAILURE_DICE, confidence, drop_intermediate=False)
    value = row_figures(confidence, dice, np.ones((1, 60)))["failures_accepted"][0]
    assert value == pytest.approx(rate[found >= 0.95].min())


def test_an_interval_of_the_verdict_rests_on_the_patients_whose_images_count(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(worth, "drawn_interval", lambda _, patients: counted.append(patients))
    spoilt = [
        *(measured(name, 0.9) for name in "pqr"),
        measured("p", 0.5, kind="noise", severity=3, is_ood=True),
        *(measured(name, 0.8, kind="noise", severity=1) for name in "pqr"),
    ]
    verdict_worth(spoilt, np.ones((3, len(spoilt))))
    # Flagged, lost where flagged, lost where let pass, failures; over all kinds, then of noise.
    assert counted == [3, 1, 3, 1] * 2


def test_what_is_lost_is_counted_against_the_same_image_without_the_fault() -> None:
    spoilt = [
        measured("p", 0.9), measured("p", 0.5, kind="noise", severity=3, is_ood=True),
        measured("p", 0.7, kind="noise", severity=1),
        measured("q", 0.8), measured("q", 0.7, kind="blur", severity=1),
        measured("r", 0.6, kind="blur", severity=1),
    ]  # fmt: skip
    found = verdict_worth(spoilt, np.ones((3, len(spoilt))))
    values = {kind: {name: entry["value"] for name, entry in own.items()} for kind, own in found.items()}
    assert values["all"] == pytest.approx(
        {"flagged": 1 / 3, "loss_flagged": 0.4, "loss_passed": 0.15, "failures_passed": 2 / 3}
    )
    assert values["noise"] == pytest.approx(
        {"flagged": 0.5, "loss_flagged": 0.4, "loss_passed": 0.2, "failures_passed": 0.5}
    )
    # Patient r has no image without a fault to compare with.
    assert values["blur"]["loss_passed"] == pytest.approx(0.1)
    assert np.isnan(values["blur"]["loss_flagged"])
    assert verdict_worth(spoilt[:1], np.ones((3, 1))) == {}
