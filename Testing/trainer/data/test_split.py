"""Splits by group: no patient is on both sides, whichever datasets show him."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data.dataset import Dataset
from trainer.data.split import Split, split_datasets
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


def test_a_dataset_that_links_two_others_makes_them_one_family() -> None:
    left, right = dataset("left", *patients("p", 6)), dataset("right", *patients("q", 6))
    bridge = dataset("bridge", "p0", "q0")
    apart, joined = split(left, right, minimum=2), split(left, right, bridge, minimum=2)
    assert sum(len(groups(s.held_out)) for s in apart.values()) == 4
    assert len(groups(joined["left"].held_out) | groups(joined["right"].held_out)) == 2
