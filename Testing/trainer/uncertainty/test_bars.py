"""The bars that were set before the measurement, each from both of its sides, and what is averaged over what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.uncertainty.findings import bars, choice
from trainer.uncertainty.reliability import reliability_table
from trainer.uncertainty.ring_limits import FLOOR, MET, MISSED, PATIENTS, PROBABILITIES, TOO_LARGE, obstacle
from trainer.uncertainty.summary import patient_weights


def entry(value: float, interval: list[float] | None = None) -> dict[str, Any]:
    return {"value": value, "interval": interval}


def judged(ring: float = 0.0, near: float = 1.0, whole: float = 1.0, spearman: float = 1.0) -> list[bool]:
    tasks = {"heart": {"calibration": {"surface_temperature": {"ring_ece": entry(ring)}, "shipped": {}}}}
    figures = {"near_auroc": entry(near), "whole_auroc": entry(whole), "expected_dice_spearman": entry(spearman)}
    return [bar["met"] for bar in bars(tasks, {"single_pass": {"figures": figures}, "ensemble": {}})]


@pytest.mark.parametrize(
    "place, name, limit, better",
    [(0, "ring", 0.05, -1), (1, "near", 0.90, 1), (2, "whole", 0.90, 1), (3, "spearman", 0.6, 1)],
)
def test_each_bar_is_met_up_to_its_limit_and_not_beyond(place: int, name: str, limit: float, better: int) -> None:
    assert judged() == [True] * 4
    for beyond, met in ((better * 0.0001, True), (0.0, True), (-better * 0.0001, False)):
        found = judged(**{name: limit + beyond})
        assert found[place] is met
        assert sum(found) == 3 + met


def obstacle_of(error: float, gap: float = 0.0, floor: float = 0.01, interval: list[float] | None = None) -> list[str]:
    best = {"ring_ece": entry(error, interval), "ideal_ring_ece": entry(floor)}
    task = {"cross_fitted": True, "calibration": {"surface_temperature": best}}
    return obstacle(task, gap).split("; ")


def test_the_reason_for_a_missed_bar_turns_at_a_twentieth() -> None:
    assert obstacle_of(0.05) == [MET] != obstacle_of(0.0501) == [PROBABILITIES]
    assert obstacle_of(0.2, floor=0.0501) == [FLOOR] != obstacle_of(0.2, floor=0.0499)
    assert obstacle_of(0.2, gap=-0.0501) == [MISSED] != obstacle_of(0.2, gap=-0.0499)
    assert obstacle_of(0.2, gap=0.0501) == [TOO_LARGE] != obstacle_of(0.2, gap=0.0499)
    assert obstacle_of(0.2, interval=[0.05, 0.3]) == [PATIENTS] != obstacle_of(0.2, interval=[0.0501, 0.3])


@pytest.mark.parametrize("edge", [0.1, 0.3, 0.7, 0.9])
def test_probabilities_fall_into_ten_equal_bins_and_an_edge_belongs_to_the_one_above(edge: float) -> None:
    table = reliability_table(np.array([edge - 1e-6, edge + 1e-6]), np.array([True, False]))
    assert table.shape == (3, 10)
    number = round(10 * edge)
    assert np.flatnonzero(table[0]).tolist() == [number - 1, number]
    assert np.flatnonzero(table[2]).tolist() == [number - 1]
    assert np.flatnonzero(reliability_table(np.array([0.5]), np.array([True]))[0]).tolist() == [5]


def test_the_first_row_of_weights_is_the_figure_itself_and_the_rounds_follow_from_the_seed() -> None:
    groups = {"heart": ["b", "a", "b", "c"]}
    found, again, other = (patient_weights(groups, seed, rounds=30)["heart"] for seed in (1, 1, 2))
    assert found.shape == (31, 4)
    assert found[0].tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found[1:], other[1:])
    # Patients are drawn, as many as there are, and their cases come along together.
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    assert (found[1:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_patient_of_two_tasks_is_drawn_once_and_tasks_of_other_patients_are_drawn_apart() -> None:
    groups = {task: [f"{task}{n}" for n in range(16)] for task in "ab"} | {"c": ["b3", "a0", "a0"]}
    found = patient_weights(groups, seed=0, rounds=2000)
    np.testing.assert_array_equal(found["c"], np.stack([found["b"][:, 3], *[found["a"][:, 0]] * 2], axis=1))
    # Two tasks of equally many patients would once get identical draws.
    assert np.corrcoef(found["a"][1:, 0], found["b"][1:, 0])[0, 1] == pytest.approx(-1 / 31, abs=0.08)


def test_the_choice_is_by_what_lies_beyond_chance_in_a_second() -> None:
    def estimator(auroc: float, seconds: float) -> dict[str, Any]:
        return {"figures": {"near_auroc": entry(auroc), "seconds": entry(seconds)}}

    # Twice the time for half as much again beyond chance; the plain AUROC per second would choose alike, so a third.
    found = choice({"single_pass": estimator(0.9, 2.0), "ensemble": estimator(1.0, 4.0), "weak": estimator(0.6, 1.0)})
    assert found["best"] == "single_pass"
    assert found["auroc_beyond_chance_per_second"] == pytest.approx(
        {"single_pass": 0.2, "ensemble": 0.125, "weak": 0.1}
    )
