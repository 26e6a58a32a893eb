"""A part of the training cases with labels: nested, by patient order, and never held-out ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.split import Split, choose_labelled, ranked_groups
from trainer.layout.case import Case


def cases(*groups: str) -> tuple[Case, ...]:
    return tuple(Case(f"c{n:02d}", Path("i"), Path("l"), group) for n, group in enumerate(groups))


TRAINING = cases(*(f"p{n // 2}" for n in range(16)))
WHOLE = Split(TRAINING, (Case("held", Path("i"), Path("l"), "h"),))


def names(split: Split) -> list[str]:
    return [case.name for case in split.training]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_smaller_number_s_cases_are_among_the_larger_s_and_held_out_ones_stay(seed: int) -> None:
    chosen = [choose_labelled(WHOLE, count, seed, "D") for count in (3, 5, 9, 16)]
    assert [len(split.training) for split in chosen] == [3, 5, 9, 16]
    for less, more in itertools.pairwise(chosen):
        assert set(names(less)) < set(names(more))
    assert all(split.held_out == WHOLE.held_out for split in chosen)
    assert names(chosen[-1]) == [case.name for case in TRAINING]


def test_patients_are_taken_one_after_the_other_in_an_order_of_the_seed() -> None:
    four = choose_labelled(WHOLE, 4, 0, "D")
    assert len({case.group for case in four.training}) == 2
    assert {case.group for case in four.training} == set(ranked_groups(TRAINING, 0)[:2])
    assert len({tuple(names(choose_labelled(WHOLE, 4, seed, "D"))) for seed in range(6)}) > 1


def test_named_cases_are_taken_in_the_split_s_order() -> None:
    assert names(choose_labelled(WHOLE, ["c09", "c02"], 0, "D")) == ["c02", "c09"]


@pytest.mark.parametrize("count", [0, -1, 17])
def test_no_case_and_more_than_there_are_cannot_be_chosen(count: int) -> None:
    with pytest.raises(DatasetError, match=f"{count} labelled cases are wanted, D has 16"):
        choose_labelled(WHOLE, count, 0, "D")


def test_a_held_out_or_unknown_case_cannot_be_chosen() -> None:
    with pytest.raises(DatasetError, match="no training case held, what"):
        choose_labelled(WHOLE, ["c00", "what", "held", "c02"], 0, "D")


def test_labels_of_one_patient_alone_are_refused_and_of_two_are_not() -> None:
    with pytest.raises(DatasetError, match="fewer than two groups"):
        choose_labelled(WHOLE, ["c00", "c01"], 0, "D")
    assert names(choose_labelled(WHOLE, ["c01", "c02"], 0, "D")) == ["c01", "c02"]
