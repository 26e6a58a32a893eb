"""Splits by group: no patient is on both sides, whichever datasets show him."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.data.split import Split, shortfalls, split_datasets
from trainer.layout.case import Case


def dataset(name: str, *groups: str) -> Dataset:
    cases = tuple(Case(f"{name}_{n}", Path("image"), Path("label"), group) for n, group in enumerate(groups))
    return Dataset(Path(name), name, "T1", "head", {1: "a"}, cases)


def patients(prefix: str, count: int, exams: int = 1) -> list[str]:
    return [f"{prefix}{n}" for n in range(count) for _ in range(exams)]


def split(*datasets: Dataset, fraction: float = 0.2, minimum: int = 1, seed: int = 0) -> dict[str, Split]:
    return split_datasets(datasets, fraction=fraction, minimum_groups=minimum, seed=seed)


def groups(cases: tuple[Case, ...]) -> set[str]:
    return {case.group for case in cases}


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_in_any_dataset(seed: int) -> None:
    first = dataset("first", *patients("p", 12, exams=2))
    second = dataset("second", *patients("p", 7), *patients("q", 5))
    third = dataset("third", *patients("q", 3), *patients("r", 9))
    alone = dataset("alone", *patients("s", 10))
    result = split(first, second, alone, third, seed=seed)
    training = set().union(*(groups(s.training) for s in result.values()))
    held_out = set().union(*(groups(s.held_out) for s in result.values()))
    assert held_out
    assert not training & held_out


@pytest.mark.parametrize("seed", range(3))
def test_every_case_is_on_exactly_one_side(seed: int) -> None:
    whole = dataset("d", *patients("p", 9, exams=3))
    result = split(whole, seed=seed)["d"]
    assert sorted((*result.training, *result.held_out), key=str) == sorted(whole.cases, key=str)


@pytest.mark.parametrize(
    "count, fraction, minimum, expected",
    [(20, 0.2, 1, 4), (20, 0.0, 4, 4), (9, 0.2, 4, 3), (100, 0.9, 1, 33), (3, 0.2, 4, 1), (2, 0.2, 4, 0)],
)
def test_the_share_the_minimum_and_the_limit_of_a_third_hold(
    count: int, fraction: float, minimum: int, expected: int
) -> None:
    result = split(dataset("d", *patients("p", count)), fraction=fraction, minimum=minimum)["d"]
    assert len(groups(result.held_out)) == expected


def test_the_split_depends_on_nothing_but_group_names_and_the_seed() -> None:
    names = patients("p", 15)
    first = split(dataset("d", *names))["d"]
    assert groups(first.held_out) == groups(split(dataset("other", *reversed(names)))["other"].held_out)
    assert {frozenset(groups(split(dataset("d", *names), seed=seed)["d"].held_out)) for seed in range(8)} != {
        frozenset(groups(first.held_out))
    }


def test_the_order_of_datasets_does_not_count() -> None:
    datasets = [dataset("a", *patients("p", 9)), dataset("b", *patients("p", 4), "q0"), dataset("c", "q0", "q1")]
    assert split(*datasets) == split(*reversed(datasets))


@pytest.mark.parametrize("seed", range(40))
def test_a_dataset_whose_patients_are_among_those_of_another_holds_out_its_own_share(seed: int) -> None:
    result = split(dataset("t1", *patients("p", 40)), dataset("flair", *patients("p", 8)), minimum=4, seed=seed)
    assert len(groups(result["flair"].held_out)) == 2
    assert len(groups(result["t1"].held_out)) == 8


@pytest.mark.parametrize("most", [20, 30, 60, 100])
@pytest.mark.parametrize("few", [3, 5, 8, 12, 15])
def test_equal_file_names_by_chance_take_no_held_out_group_away(most: int, few: int) -> None:
    alone = {name: split(dataset(name, *patients("case", count)), minimum=4)[name] for name, count in
             (("many", most), ("few", few))}  # fmt: skip
    both = split(dataset("many", *patients("case", most)), dataset("few", *patients("case", few)), minimum=4)
    for name, expected in alone.items():
        assert len(groups(both[name].held_out)) == len(groups(expected.held_out))


def test_three_sequences_of_partly_the_same_patients_hold_out_their_shares() -> None:
    sizes = {"flair": (0, 14), "t2": (0, 12), "t1": (9, 30)}
    result = split(*(dataset(name, *(f"p{n}" for n in range(*ends))) for name, ends in sizes.items()), minimum=4)
    for name, (low, high) in sizes.items():
        assert len(groups(result[name].held_out)) >= min(4, (high - low) // 3), name
        assert len(groups(result[name].training)) >= 2


def test_a_group_that_an_ancestor_has_seen_is_never_held_out() -> None:
    whole = dataset("d", *patients("p", 12))
    known = {f"p{n}" for n in range(9)}
    result = split_datasets([whole], fraction=0.2, minimum_groups=4, seed=0, seen=known.__contains__)["d"]
    assert groups(result.held_out) == {"p9", "p10", "p11"}
    assert shortfalls([whole], {"d": result}, 0.2, 4) == [
        "of dataset d 3 groups are held out, not 4: the model to start from has seen the others"
    ]


def test_where_an_ancestor_has_seen_everybody_nothing_is_measured() -> None:
    whole = dataset("d", *patients("p", 12))
    result = split_datasets([whole], fraction=0.2, minimum_groups=4, seed=0, seen=lambda group: True)
    assert result["d"].held_out == ()
    with pytest.raises(DatasetError, match="no group of dataset d can be held out"):
        shortfalls([whole], result, 0.2, 4)


def test_unseen_groups_are_held_out_in_the_order_of_a_first_training() -> None:
    whole = dataset("d", *patients("p", 20))
    first = groups(split(whole, minimum=4)["d"].held_out)
    again = split_datasets([whole], fraction=0.2, minimum_groups=4, seed=0, seen=lambda g: g not in first)["d"]
    assert groups(again.held_out) == first
