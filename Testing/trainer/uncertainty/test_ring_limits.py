"""What stands in the way of a small calibration error in the ring, on figures whose reason is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trainer.uncertainty import ring_limits as limits
from trainer.uncertainty.reliability import expected_calibration_error, reliability_table
from trainer.uncertainty.ring_limits import ring_limits
from trainer.uncertainty.wording import LIMIT_HEADERS, limit_rows

PROBABILITY = np.array([0.05, 0.05, 0.35, 0.65, 0.95, 0.95])
FOREGROUND = np.array([False, True, True, False, True, True])


def figure(value: float | None, interval: list[float] | None = None) -> dict[str, Any]:
    return {"value": value, "interval": interval}


def task(
    error: float | None,
    *,
    interval: list[float] | None = None,
    floor: float = 0.01,
    gap: float = 0.0,
    cross_fitted: bool = True,
) -> dict[str, Any]:
    """A task's entry, as far as the limits are concerned: 100 voxels, half of them foreground."""
    table = np.zeros((3, 10))
    table[:, 5] = (100, 50 + 100 * gap, 50)
    best = {"ring_ece": figure(error, interval), "ideal_ring_ece": figure(floor), "whole_ece": figure(0.003)}
    return {
        "cross_fitted": cross_fitted,
        "reliability": {"surface_temperature": {"ring": table.tolist()}},
        "calibration": {
            "surface_temperature": best,
            "shipped": {"ring_ece": figure(0.02)},
            "temperature": {"ring_ece": figure(0.04), "whole_ece": figure(0.12)},
        },
    }


def test_the_gap_is_the_mean_probability_minus_the_share_of_foreground_and_never_larger_than_the_error() -> None:
    table = reliability_table(PROBABILITY, FOREGROUND)
    entry = task(0.2)
    entry["reliability"]["surface_temperature"]["ring"] = table.tolist()
    found = ring_limits(entry)
    assert found.gap == pytest.approx(PROBABILITY.mean() - FOREGROUND.mean())
    assert abs(found.gap) <= float(expected_calibration_error(table))


def test_one_half_everywhere_has_the_error_that_the_reliability_table_gives_it() -> None:
    entry = task(0.2)
    entry["reliability"]["surface_temperature"]["ring"] = reliability_table(PROBABILITY, FOREGROUND).tolist()
    half = reliability_table(np.full(len(FOREGROUND), 0.5), FOREGROUND)
    assert ring_limits(entry).half == pytest.approx(float(expected_calibration_error(half)))


@pytest.mark.parametrize(
    ("entry", "reasons"),
    [
        (task(0.05), [limits.MET]),
        (task(0.05, floor=0.2, gap=-0.2), [limits.MET]),
        (task(0.06, floor=0.055), [limits.FLOOR]),
        (task(0.06, floor=0.055, interval=[0.04, 0.09]), [limits.FLOOR]),
        (task(0.09, interval=[0.02, 0.19]), [limits.PATIENTS]),
        (task(0.09, interval=[0.06, 0.19]), [limits.PROBABILITIES]),
        (task(0.3, gap=-0.2), [limits.MISSED]),
        (task(0.3, gap=0.2), [limits.TOO_LARGE]),
        (task(0.3, gap=-0.2, floor=0.1), [limits.FLOOR, limits.MISSED]),
        (task(0.3, cross_fitted=False), [limits.ONE_PATIENT]),
        (task(None), ["\u2013"]),
    ],
)
def test_the_reason_is_the_one_that_the_figures_give(entry: dict[str, Any], reasons: list[str]) -> None:
    assert ring_limits(entry).obstacle.split("; ") == reasons


def test_a_ring_without_voxels_has_no_gap_and_the_row_shows_dashes() -> None:
    entry = task(None)
    entry["reliability"]["surface_temperature"]["ring"] = np.zeros((3, 10)).tolist()
    del entry["calibration"]["shipped"]
    found = ring_limits(entry)
    assert math.isnan(found.gap)
    assert math.isnan(found.half)
    assert math.isnan(found.known_patients)
    row = limit_rows({"Dataset001_Balls": entry})[0]
    assert row == ["Balls", "\u2013", "\u2013", "0.010", "\u2013", "\u2013", "0.003", "0.040", "0.120", "\u2013"]


def test_a_row_has_a_cell_for_every_head_and_the_gap_shows_its_sign() -> None:
    rows = limit_rows({"Dataset001_Balls": task(0.3, gap=-0.2), "Dataset002_Cubes": task(0.3, gap=0.125)})
    assert {len(row) for row in rows} == {len(LIMIT_HEADERS)}
    assert [row[LIMIT_HEADERS.index("Gap")] for row in rows] == ["-0.200", "+0.125"]
