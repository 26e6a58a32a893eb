"""Which cases are held out, and the figures of an evaluation worked out by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.case import Case
from trainer.dataset import Dataset
from trainer.evaluation import CaseResult, cases_csv, held_out_cases
from trainer.evaluation import summarise as summarise_dice
from trainer.train_model import group_hash


def predictor(known: dict[str, list[str]]) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(training={"held_out_groups": known}))


def dataset(*groups: str) -> Dataset:
    cases = tuple(Case(f"c{n}", Path("i"), Path("l"), group) for n, group in enumerate(groups))
    return Dataset(Path("D"), "D", "T1", "head", {1: "a"}, cases)


def test_held_out_cases_are_told_by_the_hash_of_their_group() -> None:
    whole = dataset("p1", "p2", "p2", "p3")
    found = held_out_cases(whole, predictor({"D": [group_hash("p2"), group_hash("p9")]}))
    assert [case.name for case in found] == ["c1", "c2"]
    assert held_out_cases(whole, predictor({"D": ["p2"]})) == ()  # a name is not its hash


def test_of_a_dataset_that_was_not_trained_on_all_cases_are_held_out() -> None:
    whole = dataset("p1", "p2")
    assert held_out_cases(whole, predictor({"Other": [group_hash("p1")]})) == whole.cases


def test_a_group_s_hash_does_not_show_its_name() -> None:
    assert "patient" not in group_hash("patient 7")
    assert len({group_hash(f"p{n}") for n in range(1000)}) == 1000


def result(case: str, task: str, dice: dict[str, float], is_ood: bool) -> CaseResult:
    return CaseResult("D", case, "g", task, dice, 1.0, is_ood, 2.0)


def test_the_mean_foreground_dice_is_the_mean_over_cases_of_their_defined_labels() -> None:
    nan = float("nan")
    results = [result("1", "D", {"a": 1.0, "b": 0.5}, False), result("2", "E", {"a": nan, "b": 0.25}, True)]
    figures = summarise_dice(results)["D"]
    assert figures["mean_foreground_dice"] == pytest.approx((0.75 + 0.25) / 2)
    assert figures["dice"] == pytest.approx({"a": 1.0, "b": 0.375})
    assert (figures["cases"], figures["recognised"], figures["flagged_ood"]) == (2, 0.5, 0.5)


def test_the_table_of_cases_has_one_row_per_case_and_label() -> None:
    lines = cases_csv([result("1", "D", {"a": 1.0, "b": 0.5}, False)]).splitlines()
    assert lines[0] == "dataset,case,group,task,label,dice,ood_score,is_ood,seconds"
    assert lines[1:] == ["D,1,g,D,a,1.000000,1.000000,False,2.000", "D,1,g,D,b,0.500000,1.000000,False,2.000"]
