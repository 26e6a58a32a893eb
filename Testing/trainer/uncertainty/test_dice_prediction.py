"""Foretold and real Dice coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from trainer.metrics.weighted_figure import weighted_spearman
from trainer.uncertainty.dice_prediction import (
    RECALIBRATIONS,
    Segments,
    collect_segments,
    recalibrated,
    spearman,
    spearman_rounds,
)


def segments(predicted: np.ndarray, real: np.ndarray, groups: list[str] | None = None) -> Segments:
    count = len(real)
    owners = groups or [str(number) for number in range(count)]
    return Segments(("task",) * count, tuple(owners), np.arange(count), predicted, real, predicted)


def test_segments_that_were_not_found_have_nothing_foretold() -> None:
    table = np.full((2, 2, 5), 0.5)
    table[0, 1, :3] = [np.nan, 0.0, np.nan]
    found = collect_segments([("a", ["p", "q"], table), ("b", ["r"], np.full((1, 1, 5), 0.25))])
    assert found.task == ("a", "a", "a", "b")
    assert found.group == ("p", "q", "q", "r")
    assert found.case.tolist() == [0, 1, 1, 2]
    assert found.predicted.tolist() == [0.5, 0.5, 0.5, 0.25]
    assert found.of_task("b").case.tolist() == [2]


def test_no_segment_at_all_gives_empty_arrays_and_no_correlation() -> None:
    found = collect_segments([("a", ["p"], np.full((1, 1, 5), np.nan))])
    assert len(found.real) == 0
    assert np.isnan(spearman(found.predicted, found.real))
    assert len(recalibrated(found, "linear")) == 0


def test_only_the_order_counts_for_the_correlation() -> None:
    real = np.array([0.1, 0.5, 0.7, 0.9])
    assert spearman(real**3, real) == pytest.approx(1.0)
    assert spearman(-real, real) == pytest.approx(-1.0)


def test_ties_share_their_mean_rank() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.integers(0, 4, 40).astype(float), rng.integers(0, 4, 40).astype(float)
    counts = rng.integers(0, 3, (5, 40)).astype(float)
    found = weighted_spearman(one, other, counts)
    for row, value in zip(counts.astype(int), found, strict=True):
        assert value == pytest.approx(float(spearmanr(np.repeat(one, row), np.repeat(other, row)).statistic))


@pytest.mark.parametrize("real", [np.array([0.1, 0.5]), np.full(5, 0.5)])
def test_too_few_or_equal_segments_have_no_correlation(real: np.ndarray) -> None:
    assert np.isnan(spearman(np.linspace(0, 1, len(real)), real))


def test_the_first_round_is_the_figure_itself_and_others_repeat_cases() -> None:
    rng = np.random.default_rng(1)
    own = segments(rng.random(6), rng.random(6))
    weights = np.array([[1, 1, 1, 1, 1, 1], [0, 2, 1, 1, 2, 0]], dtype=float)
    found = spearman_rounds(own, own.predicted, weights)
    assert found[0] == pytest.approx(spearman(own.predicted, own.real))
    order = [1, 1, 2, 3, 4, 4]
    assert found[1] == pytest.approx(float(spearmanr(own.predicted[order], own.real[order]).statistic))
    assert found[1] == pytest.approx(spearman(own.predicted[order], own.real[order]))


@pytest.mark.parametrize("kind", RECALIBRATIONS)
def test_recalibration_removes_a_known_distortion(kind: str) -> None:
    rng = np.random.default_rng(2)
    predicted = rng.uniform(0.5, 1.0, 300)
    own = segments(predicted, np.clip(2 * predicted - 1, 0, 1))
    error = np.abs(recalibrated(own, kind) - own.real).mean()
    assert error < 0.02 < np.abs(own.predicted - own.real).mean()


@pytest.mark.parametrize("kind", RECALIBRATIONS)
def test_a_patient_has_no_part_in_his_own_recalibration(kind: str) -> None:
    rng = np.random.default_rng(3)
    predicted = rng.random(20)
    owners = [str(number // 2) for number in range(20)]
    real = rng.random(20)
    changed = real.copy()
    changed[:2] = 1 - changed[:2]
    one, other = (recalibrated(segments(predicted, values, owners), kind) for values in (real, changed))
    np.testing.assert_array_equal(one[:2], other[:2])
    assert not np.array_equal(one[2:], other[2:])


def test_one_patient_keeps_the_expected_dice() -> None:
    own = segments(np.array([0.2, 0.4, 0.9]), np.array([0.1, 0.2, 0.3]), ["p", "p", "p"])
    np.testing.assert_array_equal(recalibrated(own, "linear"), own.predicted)
