"""The report of a result, on maps that can be counted by hand, and what the last stages say of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from Testing.runtime.prediction.placed_model import noise, placed_model, profile
from Testing.runtime.tiny_model import tiny_manifest


def by_hand() -> Segmentation:
    """Three voxels of the first label and none of the second, in voxels of 1 x 2 x 3 mm."""
    volume = Volume(np.zeros((2, 2, 2), dtype=np.float32), np.diag([1.0, 2.0, 3.0, 1.0]), "by hand")
    labels, uncertainty, confidence = np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), 0.1), np.full((2, 2, 2), 0.9)
    labels[0, 0], labels[1, 1, 1] = 1, 1
    uncertainty[0, 0], uncertainty[1, 1, 1] = [0.2, 0.4], 0.9
    confidence[0, 0], confidence[1, 1, 1] = [0.8, 0.7], 0.3
    task = tiny_manifest().tasks[0]
    verdict = Verdict(False, 1.0, 2.0, 0.5, task.name, {task.name: 1.0})
    maps = (labels, uncertainty.astype(np.float32), confidence.astype(np.float32))
    return Segmentation(volume, *maps, task, verdict, "m", "d", "cpu", {"total_s": 1.23456}, ("w",), {1: 0.5, 2: None})


def test_the_report_counts_voxels_volumes_and_means_by_label() -> None:
    first, second = by_hand().report()["labels"]
    assert (first["value"], first["voxels"], first["volume_mm3"]) == (1, 3, pytest.approx(18.0))
    assert (first["mean_confidence"], first["predicted_dice"]) == (pytest.approx(0.6), 0.5)
    assert (second["voxels"], second["volume_mm3"], second["mean_confidence"]) == (0, 0.0, None)
    assert second["predicted_dice"] is None


def test_the_report_answers_whether_the_result_is_good_apart_from_the_verdict() -> None:
    known = ImageQuality({1: 0.9, 2: 0.94}, 0.05, 12)
    result = replace(by_hand(), quality=known, predicted_dice=known.dice)
    foreign = replace(result, verdict=replace(result.checked, is_ood=True), predicted_dice={})
    report, other = result.report(), foreign.report()
    assert report["quality"] == {
        "answer": "good", "predicted_dice": pytest.approx(0.92), "margin": 0.05, "patients": 12, "why_no_bound": "",
    }  # fmt: skip
    assert [row["dice_at_least"] for row in report["labels"]] == pytest.approx([0.85, 0.89])
    assert (other["quality"]["answer"], other["quality"]["predicted_dice"]) == ("look here", None)
    assert "unlike" in other["quality"]["why_no_bound"]
    assert [row["dice_at_least"] for row in other["labels"]] == [None, None]
    assert by_hand().report()["quality"] is None


def test_what_the_model_file_knows_of_the_quality_corrects_the_expected_dice_of_whole_images() -> None:
    model = placed_model(noise(), {"near": (profile(2.0), 2.0)})
    plain = Predictor(model, "cpu", "torch").segment(noise(), "near")
    shift = TaskQuality(9, 0.2, intercept=-0.1)
    informed = replace(model, manifest=replace(model.manifest, quality=QualityInfo(1, (shift,))))
    told = Predictor(informed, "cpu", "torch").segment(noise(), "near")
    assert plain.quality is not None
    assert told.quality is not None
    expected = {v: None if own is None else max(0.0, own - 0.1) for v, own in plain.quality.dice.items()}
    assert told.quality.dice == pytest.approx(expected)
    assert (told.quality.margin, plain.quality.margin) == (0.2, None)
    assert np.array_equal(told.labels, plain.labels)


def test_traits_that_nothing_rests_on_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_arguments: object) -> None:
        raise AssertionError("traits are computed")

    model = placed_model(noise(), {"near": (profile(2.0), 2.0)})
    monkeypatch.setattr("MultiTaskSegLib.runtime.prediction.answer.image_traits", unwanted)
    Predictor(model, "cpu", "torch").segment(noise(), "near")
    known = TaskQuality(9, 0.2, ("entropy",), (0.0,), (1.0,), (0.1,))
    informed = replace(model, manifest=replace(model.manifest, quality=QualityInfo(1, (known,))))
    with pytest.raises(AssertionError, match="traits are computed"):
        Predictor(informed, "cpu", "torch").segment(noise(), "near")


def test_the_report_tells_the_uncertainty_of_all_voxels_and_of_the_labelled_ones() -> None:
    summary = by_hand().report()["uncertainty"]
    assert summary["mean"] == pytest.approx((5 * 0.1 + 0.2 + 0.4 + 0.9) / 8)
    assert summary["mean_foreground"] == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert summary["maximum"] == pytest.approx(0.9)
    assert by_hand().report()["timings"] == {"total_s": 1.2346}


def test_a_segmentation_tells_where_it_ran_and_how_long_each_part_took() -> None:
    model = placed_model(noise(), {"near": (profile(2.0), 2.0), "beside": (profile(2.0), 2.1)})
    found = Predictor(model, "cpu", "torch").segment(noise())
    assert found.device == "cpu"
    assert set(found.timings) == {"network_s", "labels_s", "total_s"}
    assert all(seconds > 0 for seconds in found.timings.values())
    assert found.timings["network_s"] + found.timings["labels_s"] == pytest.approx(found.timings["total_s"])


def test_only_a_recognised_task_is_called_uncertain_by_its_rivals() -> None:
    model = placed_model(noise(), {"near": (profile(2.0), 2.0), "beside": (profile(2.0), 2.1)})
    predictor = Predictor(model, "cpu", "torch")
    auto, named = predictor.segment(noise()), predictor.segment(noise(), "near")
    assert auto.verdict.rivals == named.verdict.rivals == ("beside",)
    assert [any("not certain" in warning for warning in found.warnings) for found in (auto, named)] == [True, False]


def test_a_note_on_memory_is_given_once_however_many_candidates_were_short_of_it() -> None:
    model = placed_model(noise(), {"near": (profile(2.0), 2.0), "other": (profile(2.2), 2.8)})
    predictor = Predictor(model, "cpu", "torch")
    plain = predictor._network_pass()
    plain.shortages.extend(["short", "short"])
    predictor._network_pass = lambda: plain  # type: ignore[method-assign]
    found = predictor.segment(replace(noise(), warnings=("read",)))
    assert found.warnings.count("short") == 1
    assert (found.warnings[0], found.warnings[-1]) == ("read", "short")
