"""Ratios of CPU seconds worked out by hand."""

from __future__ import annotations

import pytest

from Testing.bench.learning_curve import compare, curve_of


def curve(*points: tuple[float, float]):  # type: ignore[no-untyped-def]
    return curve_of([{"step": n, "cpu_s": cpu_s, "dice": dice} for n, (cpu_s, dice) in enumerate(points)])


THEIRS = curve((100, 0.2), (400, 0.7), (700, 0.77), (1000, 0.8))


def test_both_readings_of_the_ratio_worked_out_by_hand() -> None:
    found = compare(curve((50, 0.5), (90, 0.75), (140, 0.77), (250, 0.85)), THEIRS)
    assert found == {
        "threshold": pytest.approx(0.76),
        "ours_cpu_s": 140,
        "theirs_cpu_s": 700,
        "ratio_of_total": pytest.approx(0.14),
        "ratio_of_time": pytest.approx(0.2),
        "ratio_of_time_at_most": pytest.approx(0.35),
    }


def test_a_curve_against_itself_takes_all_of_its_own_time() -> None:
    found = compare(THEIRS, THEIRS, share=1.0)
    assert found["ratio_of_total"] == found["ratio_of_time"] == 1.0


def test_a_curve_that_never_gets_there_has_no_ratio() -> None:
    found = compare(curve((10, 0.1), (2000, 0.75)), THEIRS)
    assert found["ours_cpu_s"] is found["ratio_of_total"] is found["ratio_of_time"] is None


def test_the_final_dice_is_the_last_one_and_not_the_best_one() -> None:
    assert curve((100, 0.9), (200, 0.6)).final_dice == 0.6


def test_nothing_is_interpolated_between_points() -> None:
    steep = curve((0, 0.0), (100, 1.0))
    assert steep.cpu_s_to(0.5) == 100
    assert steep.cpu_s_before(0.5) == 0


def test_a_first_point_that_is_there_already_leaves_no_upper_ratio() -> None:
    assert compare(curve((5, 0.9)), curve((10, 0.8)))["ratio_of_time_at_most"] is None


def test_points_may_come_in_any_order() -> None:
    points = [{"step": 2, "cpu_s": 20, "dice": 0.4}, {"step": 1, "cpu_s": 10, "dice": 0.3}]
    assert curve_of(points).total_cpu_s == 20
    assert curve_of(points).as_list() == points[::-1]


def test_a_curve_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        curve_of([])
