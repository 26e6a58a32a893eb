"""What moves is told with its place and its size; what cannot be tested is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MultiTaskSegLib.cohort.drift.quantity import FLAGGED, SCORE, quantities
from MultiTaskSegLib.cohort.drift.shift import DATE, SCANNER, SITE, shifts
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from Testing.cohort.drift.drifting_cohort import drifting_cohort

LIVER = "liver [mL]"


def test_a_step_is_told_with_its_day_and_medians_and_nothing_else_is():
    records = drifting_cohort(80, step=2.0, changed=50)
    found = shifts(records[::-1])  # the order of the files says nothing
    (moved,) = [shift for shift in found if shift.is_drift(0.05)]
    assert (moved.quantity, moved.by, moved.where, moved.cases) == (LIVER, DATE, records[50].date, 80)
    assert moved.here - moved.elsewhere == pytest.approx(200, abs=80)
    assert moved.p_value <= moved.adjusted <= 0.05
    assert shifts(records) == shifts(records)


def test_groups_are_scanners_with_their_serial_numbers():
    records = [
        replace(one, volumes_ml={"liver": one.volumes_ml["liver"] + 300 * (one.device == "3")})
        for one in drifting_cohort(80)
    ]
    (moved,) = [shift for shift in shifts(records, [SCANNER]) if shift.is_drift(0.05)]
    assert (moved.quantity, moved.where, moved.cases) == (LIVER, "ACME Two 3", 80)
    assert moved.here - moved.elsewhere == pytest.approx(300, abs=80)


def test_p_values_are_adjusted_for_all_quantities_and_ways():
    found = shifts(drifting_cohort(40))
    tested = [shift for shift in found if shift.p_value is not None]
    least = min(tested, key=lambda shift: shift.p_value)
    assert len(tested) >= 6
    assert least.adjusted == pytest.approx(min(1.0, least.p_value * len(tested)))


def test_the_order_of_cases_of_one_day_is_no_change():
    records = drifting_cohort(40, step=8.0, changed=20)
    one_day = [replace(record, date="2026-02-03") for record in records]
    (volume,) = [shift for shift in shifts(one_day, [DATE]) if shift.quantity == LIVER]
    assert volume.reason.startswith("too few dated cases")
    mixed = [replace(record, date=f"2026-02-0{1 + k % 8}") for k, record in enumerate(records)]
    found = shifts(mixed, [DATE])
    assert [shift.quantity for shift in found if shift.p_value] == [SCORE, "liver expected Dice", LIVER]
    assert not any(shift.is_drift(0.05) for shift in found)


def test_what_cannot_be_tested_is_told():
    few = shifts(drifting_cohort(19))
    assert {shift.by: shift.reason for shift in few if shift.quantity == LIVER} == {
        DATE: "too few dated cases: 20 cases are needed, on 6 days",
        SCANNER: "too few cases to compare: 20 cases are needed, of two scanners with 5 or more",
        SITE: "too few cases to compare: 20 cases are needed, of two sites with 5 or more",
    }
    silent = [replace(one, date="", scanner="", device="", site="") for one in drifting_cohort(30)]
    assert {shift.reason for shift in shifts(silent)} == {f"no case says its {by}" for by in (DATE, SCANNER, SITE)}
    same = [replace(one, volumes_ml={"liver": 1.0}) for one in drifting_cohort(30)]
    (volume,) = [shift for shift in shifts(same, [DATE]) if shift.quantity == LIVER]
    assert (volume.reason, volume.p_value, volume.adjusted) == ("the same in every case", None, None)


def test_quantities_are_of_the_check_and_of_each_structure():
    first = CaseRecord("a", "", score=2.0, limit=1.0, expected_dice={"x": 0.5, "y": 0.9}, volumes_ml={"x": 3.0})
    second = CaseRecord("b", "", score=0.5, limit=1.0, volumes_ml={"x": 4.0, "z": 1.0})
    unchecked = CaseRecord("c", "")
    found = {one.name: one.values for one in quantities([first, second, unchecked])}
    assert found == {
        SCORE: (2.0, 0.5, None),
        FLAGGED: (1.0, 0.0, None),
        "expected Dice of the worst segment": (0.5, None, None),
        "x expected Dice": (0.5, None, None),
        "y expected Dice": (0.9, None, None),
        "x [mL]": (3.0, 4.0, None),
        "z [mL]": (None, 1.0, None),
    }


def test_a_figure_that_is_no_number_is_a_missing_one():
    records = drifting_cohort(40)
    broken = replace(records[7], volumes_ml={"liver": float("nan")}, score=float("inf"))
    found = shifts([*records[:7], broken, *records[8:]])
    assert {shift.cases for shift in found if shift.quantity in (LIVER, SCORE) and shift.by == DATE} == {39}
    assert [shift for shift in found if shift.is_drift(0.05)] == []
