"""Measuring fits into its share of the time, and never goes below what calibration and check need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.data.case_cache import PreparedCase
from trainer.layout.case import Case
from trainer.measuring.pace import Pace, middle_of
from trainer.measuring.plan import MeasuringPlan
from trainer.measuring.sides import Sides

# A second for a known case of a million voxels, five for a held-out one.
PACE = Pace(held_out_s=5e-6, known_s=1e-6, fit_case_s=0.0, map_s=0.0)


def cases(count: int, voxels: int = 10**6, per_patient: int = 1, name: str = "p") -> list[PreparedCase]:
    array = np.broadcast_to(np.float16(0), (1, 1, voxels))
    return [
        PreparedCase(Case(f"{name}{n}", Path("i"), Path("l"), f"{name}{n // per_patient}"), array, array, {})  # type: ignore[arg-type]
        for n in range(count)
    ]


def sides(known: int, held_out: int, has_labels: bool = True) -> Sides:
    return Sides(cases(known, name="k"), cases(held_out, name="h"), has_labels)


HEADS = sides(179, 45)


@pytest.mark.parametrize("training_s", [1000.0, 1500.0, 2400.0])
def test_measuring_takes_its_share_of_the_training(training_s: float) -> None:
    plan = MeasuringPlan([HEADS], PACE, 0.15)
    (chosen,) = plan.chosen(training_s)
    seconds = len(chosen.known) * 1 + len(chosen.held_out) * 5
    assert 0.15 * training_s - 6 < seconds <= 0.15 * training_s
    assert plan.seconds(training_s) == pytest.approx(0.15 * training_s)
    assert chosen.as_dict() == {"known": [len(chosen.known), 179], "held_out": [len(chosen.held_out), 45]}


def test_where_time_allows_and_where_no_share_is_given_all_cases_are_measured() -> None:
    for share, training_s in ((0.15, 1e4), (0.0, 1.0)):
        plan = MeasuringPlan([HEADS], PACE, share)
        (chosen,) = plan.chosen(training_s)
        assert (chosen.known, chosen.held_out) == (HEADS.known, HEADS.held_out)
        assert plan.seconds(training_s) == pytest.approx(179 + 5 * 45)
        assert plan.is_fixed is (share == 0)


@pytest.mark.parametrize("tasks, known, held_out", [(1, 40, 20), (2, 20, 12), (5, 20, 12)])
def test_there_are_never_fewer_than_calibration_and_check_need(tasks: int, known: int, held_out: int) -> None:
    plan = MeasuringPlan([HEADS] * tasks, PACE, 0.15)
    assert [(len(c.known), len(c.held_out)) for c in plan.chosen(0.0)] == [(known, held_out)] * tasks
    assert plan.seconds(0.0) == pytest.approx(tasks * (known + 5 * held_out))


def test_small_tasks_are_measured_whole_beside_large_ones() -> None:
    small = sides(4, 2)
    plan = MeasuringPlan([small, HEADS], PACE, 0.15)
    first, second = plan.chosen(1000.0)
    assert (len(first.known), len(first.held_out)) == (4, 2)
    assert MeasuringPlan([small, small], PACE, 0.15).is_fixed
    assert not plan.is_fixed
    assert 20 < len(second.known) < 179


def test_the_validation_at_the_end_and_the_map_of_foreign_places_count_too() -> None:
    pace = replace(PACE, map_s=2e-6, fit_case_s=3.0)
    plan = MeasuringPlan([HEADS], pace, 0.0, validation_cases=6)
    assert plan.validation_s == pytest.approx(6 * (5 + 3))
    assert plan.map_s == pytest.approx(12 * 2)
    assert plan.seconds(1.0) == pytest.approx(179 + 45 * (5 + 3) + 6 * (5 + 3) + 12 * 2)
    assert MeasuringPlan([sides(30, 9, has_labels=False)], PACE, 0.0, 6).seconds(1.0) == pytest.approx(39)


def test_every_patient_is_measured_before_any_twice() -> None:
    many = Sides(cases(400, per_patient=40), cases(100, per_patient=5, name="h"), True)
    (chosen,) = MeasuringPlan([many], PACE, 0.15).chosen(0.0)
    assert len({case.case.group for case in chosen.held_out}) == 20
    assert len({case.case.group for case in chosen.known}) == 10


@pytest.mark.parametrize(
    "shape, limit, expected",
    [((9, 7, 5), 400, (9, 7, 5)), ((9, 8, 4), 80, (5, 4, 4)), ((1, 64, 64), 1024, (1, 32, 32))],
)
def test_a_trial_is_made_on_the_middle_of_a_case(
    shape: tuple[int, int, int], limit: int, expected: tuple[int, int, int]
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    whole = PreparedCase(Case("c", Path("i"), Path("l"), "g"), array, array, {})  # type: ignore[arg-type]
    part = middle_of(whole, limit)
    assert part.voxels.shape == part.labels.shape == expected
    for axis, (n, m) in enumerate(zip(shape, expected, strict=True)):
        first = np.unravel_index(int(part.voxels.flat[0]), shape)[axis]
        assert abs(2 * first + m - n) <= 1


def test_a_training_that_is_too_short_for_the_least_number_of_cases_is_known() -> None:
    plan = MeasuringPlan([HEADS], PACE, 0.15)
    # 40 known and 20 held-out cases.
    least_s = 40 + 5 * 20
    assert plan.exceeds_share(0.99 * least_s / 0.15)
    assert not plan.exceeds_share(1.01 * least_s / 0.15)
    assert not plan.exceeds_share(1e6)
    assert not MeasuringPlan([HEADS], PACE, 0.0).exceeds_share(1.0)
