"""Which cases are held out, told by the hashes of their groups."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trainer.data.dataset import Dataset
from trainer.data.held_out import group_hash, held_out_cases
from trainer.layout.case import Case


def manifest(known: dict[str, list[str]]) -> Any:
    return SimpleNamespace(training={"held_out_groups": known})


def dataset(*groups: str) -> Dataset:
    cases = tuple(Case(f"c{n}", Path("i"), Path("l"), group) for n, group in enumerate(groups))
    return Dataset(Path("D"), "D", "T1", "head", {1: "a"}, cases)


def test_held_out_cases_are_told_by_the_hash_of_their_group() -> None:
    whole = dataset("p1", "p2", "p2", "p3")
    found = held_out_cases(whole, manifest({"D": [group_hash("p2"), group_hash("p9")]}))
    assert [case.name for case in found] == ["c1", "c2"]
    assert held_out_cases(whole, manifest({"D": ["p2"]})) == ()  # a name is not its hash


def test_of_a_dataset_that_was_not_trained_on_all_cases_are_held_out() -> None:
    whole = dataset("p1", "p2")
    assert held_out_cases(whole, manifest({"Other": [group_hash("p1")]})) == whole.cases


def test_a_group_s_hash_does_not_show_its_name() -> None:
    assert "patient" not in group_hash("patient 7")
    assert len({group_hash(f"p{n}") for n in range(1000)}) == 1000
