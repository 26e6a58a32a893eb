"""Corrected p-values are those of the textbook, and keep their promise when nothing is to be found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from trainer.metrics.multiple_comparison import holm, p_above, p_different


def test_the_smallest_of_several_is_multiplied_by_their_number_and_the_largest_by_1() -> None:
    assert holm([0.04, 0.001, 0.5]) == pytest.approx([0.08, 0.003, 0.5])
    # Never smaller than a corrected one that was smaller before, and never above 1.
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_of_many_questions_without_an_answer_one_in_twenty_sets_is_answered() -> None:
    rng = np.random.default_rng(0)
    answered = np.mean([min(holm(rng.random(12).tolist())) <= 0.05 for _ in range(4000)])
    assert answered == pytest.approx(0.05, abs=0.012)


def test_a_mean_is_tested_as_scipy_does_it() -> None:
    values = [0.3, 0.1, 0.25, -0.05]
    assert p_above(values, 0.1) == pytest.approx(ttest_1samp(values, 0.1, alternative="greater").pvalue)
    assert p_different(values) == pytest.approx(ttest_1samp(values, 0.0).pvalue)


@pytest.mark.parametrize("value, p", [(0.2, 0.0), (0.125, 1.0), (0.0, 1.0)])
def test_equal_values_are_above_a_limit_or_not(value: float, p: float) -> None:
    assert p_above([value] * 3, 0.125) == p


def test_one_value_tells_nothing() -> None:
    assert p_above([5.0]) == p_above([]) == p_different([5.0]) == 1.0
