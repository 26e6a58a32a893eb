"""Failures told by a confidence: against scikit-learn, by hand, and in the rounds of a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from trainer.failure.failure_flag import failure_auroc, false_alarm_rate, mean_drop

FEW = settings(max_examples=25, deadline=None)
images = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=40)


def sides(pairs: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([c for c, _ in pairs], dtype=np.float64), np.array([f for _, f in pairs], dtype=bool)


@FEW
@given(images)
def test_both_figures_are_those_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    confidence, failed = sides(pairs)
    once = np.ones((1, len(failed)))
    auroc, rate = failure_auroc(confidence, failed, once)[0], false_alarm_rate(confidence, failed, once)[0]
    if failed.all() or not failed.any():
        assert np.isnan([auroc, rate]).all()
        return
    assert auroc == pytest.approx(roc_auc_score(failed, -confidence), abs=1e-12)
    alarms, found, _ = roc_curve(failed, -confidence, drop_intermediate=False)
    assert rate == pytest.approx(alarms[found >= 0.95 - 1e-9].min(), abs=1e-12)


@FEW
@given(images, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_an_image_that_counts_several_times_is_as_several_images(
    pairs: list[tuple[int, bool]], counts: list[int]
) -> None:
    confidence, failed = sides(pairs)
    times = np.array(counts[: len(failed)])
    size = int(times.sum())
    for figure in (failure_auroc, false_alarm_rate):
        value = figure(confidence, failed, times[None].astype(np.float64))[0]
        if size:
            expected = figure(np.repeat(confidence, times), np.repeat(failed, times), np.ones((1, size)))[0]
            assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_one_of_twenty_failures_may_be_missed() -> None:
    # The most confident failure lies above all good results; the others below.
    confidence = np.array([9.0, *range(-19, 0), 1.0, 2.0])
    failed = np.array([True] * 20 + [False] * 2)
    assert false_alarm_rate(confidence, failed, np.ones((1, 22)))[0] == 0
    assert false_alarm_rate(confidence[1:], failed[1:], np.ones((1, 21)))[0] == 0
    assert false_alarm_rate(confidence[[0, 1, 20, 21]], failed[[0, 1, 20, 21]], np.ones((1, 4)))[0] == 1


def test_what_is_no_number_is_refused() -> None:
    for figure in (failure_auroc, false_alarm_rate):
        with pytest.raises(ValueError, match="number"):
            figure(np.array([np.nan, 1.0]), np.array([True, False]), np.ones((1, 2)))


def test_the_drop_counts_only_chosen_images_as_often_as_they_were_drawn() -> None:
    drop, flagged = np.array([0.4, 0.1, 0.2]), np.array([True, False, False])
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 3.0, 0.0], [5.0, 0.0, 0.0]])
    np.testing.assert_allclose(mean_drop(drop, flagged, weights), [0.4, 0.4, 0.4])
    np.testing.assert_allclose(mean_drop(drop, ~flagged, weights), [0.15, 0.1, np.nan])
