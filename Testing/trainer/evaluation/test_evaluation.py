"""The figures of an evaluation worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.runtime.tiny_model import write_tiny_model
from trainer.evaluation.case_result import (
    Agreement,
    CaseResult,
    Unit,
    cases_csv,
    compared_masks,
    measured_spacing,
    ranked,
)
from trainer.evaluation.evaluation import evaluate
from trainer.evaluation.shown_case import worth_showing
from trainer.evaluation.summary import summarise

NAN = float("nan")


def result(case: str, labels: dict[str, Agreement], task: str = "D", group: str = "g", unit: Unit = "mm") -> CaseResult:
    return CaseResult("D", case, group, task, labels, 1.5, unit, 1.0, task != "D", 2.0)


def dice(**values: float) -> dict[str, Agreement]:
    return {name: Agreement(value) for name, value in values.items()}


def test_the_mean_foreground_dice_is_the_mean_over_cases_of_their_defined_labels() -> None:
    results = [result("1", dice(a=1.0, b=0.5)), result("2", dice(a=NAN, b=0.25), task="E")]
    figures = summarise(results)["D"]
    assert figures["mean_foreground_dice"] == pytest.approx((0.75 + 0.25) / 2)
    assert figures["dice"] == pytest.approx({"a": 1.0, "b": 0.375})
    assert (figures["cases"], figures["recognised"], figures["flagged_ood"]) == (2, 0.5, 0.5)


def test_distances_are_means_over_cases_too_and_labels_that_one_side_lacks_are_counted() -> None:
    both, missed = Agreement(0.8, 2.0, 0.9, 0.7), Agreement(0.0, NAN, 0.0, 0.5)
    absent = Agreement(NAN)
    figures = summarise([result("1", {"a": both, "b": missed}), result("2", {"a": both, "b": absent})])["D"]
    assert figures["hausdorff95"]["mean"] == pytest.approx(2.0)
    assert figures["surface_dice"]["mean"] == pytest.approx((0.45 + 0.9) / 2)
    assert figures["one_is_empty"] == 1
    # |.8 - .7| twice and |0 - .5| once; where nothing was expected nothing is compared.
    assert figures["expected_dice_error"] == pytest.approx((0.1 + 0.5 + 0.1) / 3)
    assert figures["by_label"]["a"] == pytest.approx({"dice": 0.8, "hausdorff95": 2.0, "surface_dice": 0.9})
    assert figures["by_label"]["b"]["dice"] == 0.0
    assert np.isnan(figures["by_label"]["b"]["hausdorff95"])


def test_of_one_patient_there_is_no_interval_and_of_several_it_holds_the_mean() -> None:
    of_one = summarise([result("1", dice(a=0.5)), result("2", dice(a=0.7))])["D"]
    assert of_one["interval"] is None
    several = [result(str(n), {"a": Agreement(0.5 + n / 20, float(n), 0.5)}, group=f"p{n}") for n in range(6)]
    figures = summarise(several)["D"]
    for limits, mean in ((figures["interval"], 0.625), (figures["hausdorff95"]["interval"], 2.5)):
        assert limits[0] < mean < limits[1]
    assert figures["surface_dice"]["interval"] is None  # all equal
    assert figures["flagged_interval"][0] == 0
    assert figures["flagged_interval"][1] > 0.3


def test_millimetres_and_pixels_are_not_averaged_under_one_name() -> None:
    figures = summarise([result("1", dice(a=0.5)), result("2", dice(a=0.7), unit="px")])["D"]
    assert figures["unit"] == "mixed"


def test_the_table_of_cases_has_one_row_per_case_and_label() -> None:
    lines = cases_csv([result("1", {"a": Agreement(1.0, 0.0, 1.0, 0.875), "b": Agreement(0.5)})]).splitlines()
    assert lines[0] == (
        "dataset,case,group,task,label,dice,hausdorff95,surface_dice,expected_dice,tolerance,unit,ood_score,is_ood,seconds"
    )
    assert lines[1:] == [
        "D,1,g,D,a,1.000000,0.000000,1.000000,0.875000,1.5,mm,1.000000,False,2.000",
        "D,1,g,D,b,0.500000,nan,nan,nan,1.5,mm,1.000000,False,2.000",
    ]


def test_the_smallest_edge_of_pixels_of_unknown_size_is_one_pixel() -> None:
    affine = np.diag([0.5, 0.25, 3.0, 1.0])
    volume = Volume(np.zeros((2, 3, 4), dtype=np.float32), affine)
    assert measured_spacing(volume) == ((3.0, 0.25, 0.5), "mm")
    assert measured_spacing(replace(volume, measured="nothing")) == ((12.0, 1.0, 2.0), "px")


def test_the_typical_case_is_the_median_and_the_worst_come_in_order_each_once() -> None:
    results = [result(str(n), dice(a=value)) for n, value in enumerate((0.9, 0.2, 0.7, NAN, 0.5))]
    assert [r.case for r in ranked(results)] == ["1", "4", "2", "0"]
    assert [(word, r.case) for word, r in worth_showing(results, 2)] == [("typical", "4"), ("worst", "1")]
    assert [(word, r.case) for word, r in worth_showing(results, 9)] == [
        ("typical", "4"), ("worst", "1"), ("3. worst", "2"), ("4. worst", "0"),
    ]  # fmt: skip
    assert worth_showing(results[3:4], 2) == []


def test_a_task_whose_label_is_called_foreground_stands_for_others_only_where_all_tasks_share_the_head(
    tmp_path: Path,
) -> None:
    """Taken for that task, a liver is not found, whatever the result shows there."""
    first, second = read_manifest(write_tiny_model(tmp_path / "tiny.mts.safetensors"))[0].tasks[:2]
    foreground = replace(first, labels=(replace(first.labels[0], value=1, name="foreground"),))
    labels = np.array([[[1, 0]]], dtype=np.uint16)
    result: Any = SimpleNamespace(task=foreground, labels=labels, regions=None)
    ((name, own, other),) = compared_masks([foreground, second], result, labels, {1: "liver"})
    assert (name, own.any(), other.sum()) == ("liver", False, 1)
    ((name, own, other),) = compared_masks([foreground, foreground], result, labels, {1: "liver"})
    assert (name, own.sum(), other.sum()) == ("foreground", 1, 1)


def test_images_with_classes_instead_of_masks_are_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    for kind in ("healthy", "ill"):
        folder = tmp_path / "classes" / kind
        folder.mkdir(parents=True)
        for number in range(2):
            sitk.WriteImage(sitk.GetImageFromArray(np.full((8, 8), number, np.uint8)), str(folder / f"{number}.png"))
    with pytest.raises(DatasetError, match="no masks"):
        evaluate(model, [tmp_path / "classes"], tmp_path / "out", held_out_only=False)


def test_a_case_that_is_named_like_a_formula_is_a_text_in_the_table() -> None:
    [_, line] = cases_csv([result("=1+1", {"@a": Agreement(-0.5)})]).splitlines()
    assert line.startswith("D,'=1+1,g,D,'@a,-0.500000,")
