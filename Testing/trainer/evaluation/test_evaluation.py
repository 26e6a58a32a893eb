"""The figures of an evaluation worked out by hand."""

from __future__ import annotations

import pytest

from trainer.evaluation.evaluation import CaseResult, cases_csv
from trainer.evaluation.evaluation import summarise as summarise_dice


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
