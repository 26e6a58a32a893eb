"""The benchmark's figures against counting, and which images take part."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.dataset import Case, Dataset
from trainer.evaluation import CaseResult, cases_csv, held_out_cases
from trainer.evaluation import summarise as summarise_dice
from trainer.ood_benchmark import auroc, auroc_interval, false_positive_rate, foreign_images, summarise
from trainer.train_model import group_hash


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, foreign = rng.integers(0, 8, 17).tolist(), rng.integers(3, 11, 13).tolist()
    counted = np.mean([1.0 if f > k else 0.5 if f == k else 0.0 for k, f in product(known, foreign)])
    assert auroc(known, foreign) == pytest.approx(counted)
    assert auroc(foreign, known) == pytest.approx(1 - counted)


def test_perfect_separation_is_1_and_none_is_a_half() -> None:
    assert auroc([1, 2], [3, 4]) == 1.0
    assert auroc([3, 4], [1, 2]) == 0.0
    assert auroc([5, 5, 5], [5, 5]) == 0.5


def test_the_false_positive_rate_counts_foreign_images_below_the_limit_that_keeps_95_of_100_known_ones() -> None:
    known = list(range(101))  # the 95 % quantile is 95
    assert false_positive_rate(known, [0, 95, 96, 200]) == pytest.approx(0.5)
    assert false_positive_rate(known, [0, 50, 51, 200], kept=0.5) == pytest.approx(0.5)


def test_the_interval_holds_the_value_and_resamples_groups_not_images() -> None:
    rng = np.random.default_rng(1)
    single = {f"p{n}": [float(v)] for n, v in enumerate(rng.normal(0, 1, 30))}
    foreign = {f"f{n}": [float(v)] for n, v in enumerate(rng.normal(1, 1, 30))}
    low, high = auroc_interval(single, foreign, np.random.default_rng(0))
    value = auroc([v[0] for v in single.values()], [v[0] for v in foreign.values()])
    assert 0 < low < value < high < 1
    # The same patient ten times over is no more evidence than once.
    repeated = {name: values * 10 for name, values in single.items()}
    assert auroc_interval(repeated, foreign, np.random.default_rng(0)) == pytest.approx((low, high))


def row(source: str, group: str, known: bool, score: float) -> dict[str, Any]:
    return {"source": source, "group": group, "known": known, "score": score}


def test_the_summary_worked_out_by_hand() -> None:
    rows = [row("A", "a1", True, 1.0), row("A", "a2", True, 3.0)]
    rows += [row("X", "x1", False, 2.0), row("Y", "y1", False, 4.0), row("Y", "y2", False, 0.5)]
    figures = summarise(rows, 2.5)
    assert figures["auroc"] == pytest.approx((1 + 2 + 0) / 6)
    assert figures["sensitivity"] == pytest.approx(1 / 3)
    assert figures["specificity"] == pytest.approx(1 / 2)
    assert figures["auroc_by_source"] == pytest.approx({"X": 0.5, "Y": 0.5})
    assert (figures["known_images"], figures["foreign_images"]) == (2, 3)


@pytest.mark.parametrize("known", [True, False])
def test_a_benchmark_with_one_side_is_refused(known: bool) -> None:
    with pytest.raises(DatasetError, match="one side"):
        summarise([row("A", "a", known, 1.0)], 1.0)


def test_foreign_images_are_found_at_any_depth_without_their_labels(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "deep/er/b.png", "deep/b_label.png", "notes.txt", "deep/c.nrrd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for _, path in foreign_images(tmp_path)] == ["a.nii.gz", "c.nrrd", "b.png"]
    with pytest.raises(DatasetError):
        list(foreign_images(tmp_path / "nowhere"))


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
