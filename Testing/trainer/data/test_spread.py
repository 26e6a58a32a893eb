"""A few of many cases: every patient before any twice."""

from __future__ import annotations

from collections import Counter

import pytest

from trainer.data.spread import spread_over_groups

GROUPS = ["a"] * 7 + ["b"] * 2 + ["c"] * 1 + ["d"] * 4


@pytest.mark.parametrize("count", range(1, 15))
def test_no_patient_has_two_more_than_another_that_has_cases_left(count: int) -> None:
    chosen = spread_over_groups(list(range(14)), GROUPS, count)
    assert len(chosen) == len(set(chosen)) == count
    assert chosen == sorted(chosen)
    had, have = Counter(GROUPS), Counter(GROUPS[index] for index in chosen)
    assert max(have.values()) <= 1 + min([have[group] for group in had if have[group] < had[group]], default=99)


def test_one_case_of_a_patient_is_the_middle_one_and_more_are_evenly_spaced() -> None:
    assert spread_over_groups(list(range(9)), ["a"] * 9, 1) == [4]
    assert spread_over_groups(list(range(9)), ["a"] * 9, 3) == [1, 4, 7]
    assert spread_over_groups(list("abcdefgh"), list("abcdefgh"), 4) == ["b", "d", "f", "h"]


def test_more_than_there_are_gives_all_and_none_gives_none() -> None:
    assert spread_over_groups([3, 1, 2], ["a", "a", "b"], 9) == [3, 1, 2]
    assert spread_over_groups([], [], 4) == []
    assert spread_over_groups([1], ["a"], 0) == []
