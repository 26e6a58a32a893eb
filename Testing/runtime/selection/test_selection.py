"""Runs on a region and for some structures: what changes and what must not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.hosting.memory_estimate import RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import REGION_NOT_CHECKED, Verdict
from MultiTaskSegLib.runtime.prediction.caution import weakness
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.quality.image_quality import UNCHECKED_WORDS
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.selection import Selection
from MultiTaskSegLib.runtime.selection.structures import only_structures
from Testing.runtime.tiny_model import write_tiny_model

BALLS = "Dataset001_Balls"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors"), "cpu", "torch")


@pytest.fixture(scope="module")
def scan() -> Volume:
    voxels = np.random.default_rng(9).normal(100, 20, (50, 52, 54)).astype(np.float32)
    return Volume(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]), "scan")


MIDDLE = Region.between([47, 59, 47, 57, 43, 55])


def untold(share: float, step: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def whole(model: Predictor, scan: Volume) -> Segmentation:
    return model.segment(scan, BALLS)


def test_inside_the_region_all_is_as_in_the_whole_and_outside_is_background(
    model: Predictor, scan: Volume, whole: Segmentation
) -> None:
    # The network reaches less far than the context does, and its grid falls on the same voxels.
    found = Selection(BALLS, MIDDLE).segment(model, scan, untold)
    inside = MIDDLE.holds(scan, (0, 0, 0), scan.shape)
    assert found.labels[inside].any()
    assert found.labels.shape == scan.shape
    np.testing.assert_array_equal(found.labels[inside], whole.labels[inside])
    assert not found.labels[~inside].any()
    assert not found.uncertainty[~inside].any()
    assert (found.confidence[~inside] == 1).all()
    np.testing.assert_allclose(found.uncertainty[inside], whole.uncertainty[inside], atol=2e-5)


def test_a_region_alone_gets_no_verdict_and_says_so(model: Predictor, scan: Volume) -> None:
    found = Selection(BALLS, MIDDLE).segment(model, scan, untold)
    report = found.report()
    assert found.verdict is None
    assert report["checked"] is False
    assert report["ood"] is None
    assert found.verdict_sentence == REGION_NOT_CHECKED
    assert REGION_NOT_CHECKED in report["warnings"]
    assert report["region"] == MIDDLE.as_dict()
    assert report["uncertainty"]["mean"] == pytest.approx(float(found.uncertainty[found.inside].mean()))


def test_with_a_check_the_verdict_is_on_the_whole_image(model: Predictor, scan: Volume, whole: Segmentation) -> None:
    found = Selection(BALLS, MIDDLE, whole_check=True).segment(model, scan, untold)
    assert found.verdict is not None
    assert found.verdict.score == pytest.approx(whole.checked.score)
    assert REGION_NOT_CHECKED not in found.warnings
    assert (found.verdict.sentence() in found.warnings) == found.verdict.is_ood
    assert found.report()["region"] == MIDDLE.as_dict()


def test_where_the_task_is_to_be_recognised_the_whole_image_is_looked_at(model: Predictor, scan: Volume) -> None:
    found = Selection("auto", MIDDLE).segment(model, scan, untold)
    assert found.verdict is not None
    assert found.task.name == model.check(scan).nearest_task
    assert Selection("auto", MIDDLE).seen(scan) is scan
    assert Selection(BALLS, MIDDLE).seen(scan).voxels.size < scan.voxels.size


def test_less_memory_is_planned_for_a_region(model: Predictor, scan: Volume) -> None:
    def need(volume: Volume) -> int:
        run = RunMemory(model.manifest, [model.manifest.tasks[0].profile], volume, Purpose(BALLS), model.device)
        return run.at(0).host_bytes(is_on_host=True)

    assert need(Selection(BALLS, MIDDLE).seen(scan)) < 0.8 * need(scan)


def test_progress_of_check_and_run_rises_to_the_end(model: Predictor, scan: Volume) -> None:
    told: list[float] = []
    Selection("auto", MIDDLE).segment(model, scan, lambda share, step: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_structures_that_are_not_wanted_are_background_and_nobody_takes_their_voxels(
    model: Predictor, scan: Volume, whole: Segmentation
) -> None:
    found = Selection(BALLS, structures=("Left Ball",)).segment(model, scan, untold)
    np.testing.assert_array_equal(found.labels, np.where(whole.labels == 1, 1, 0))
    np.testing.assert_array_equal(found.uncertainty, whole.uncertainty)
    report, full = found.report(), whole.report()
    assert [row["name"] for row in report["labels"]] == ["left ball"]
    assert report["left_out"] == ["right_ball"]
    assert report["labels"][0] == full["labels"][0]
    assert "left_out" not in full


def test_of_regions_that_overlap_those_wanted_are_painted_anew(whole: Segmentation) -> None:
    regions = np.zeros((2, *whole.labels.shape), np.bool_)
    regions[0, :4] = regions[1, 2:6] = True
    labels = np.where(regions[1], 2, np.where(regions[0], 1, 0)).astype(np.uint8)
    found = only_structures(replace(whole, labels=labels, regions=regions), ["left_ball"])
    np.testing.assert_array_equal(found.labels, regions[0].astype(np.uint8))
    np.testing.assert_array_equal(found.regions, regions[:1])


def test_an_unknown_structure_is_told_with_its_neighbours_before_anything_runs(model: Predictor, scan: Volume) -> None:
    told: list[float] = []
    with pytest.raises(UsageError, match=r"left_bal'.*Did you mean left_ball"):
        Selection("auto", structures=("left_bal",)).segment(model, scan, lambda share, step: told.append(share))
    with pytest.raises(UsageError, match="There are left_ball, right_ball"):
        Selection(BALLS, structures=("cube",)).segment(model, scan, lambda share, step: told.append(share))
    assert not told


def test_the_files_of_a_region_name_it(model: Predictor, scan: Volume, tmp_path: Path) -> None:
    Selection(BALLS, MIDDLE, structures=("right_ball",)).segment(model, scan, untold).write(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["region"] == MIDDLE.as_dict()
    assert report["left_out"] == ["left_ball"]


class Answering:
    """A model whose answer on every image is known: where a mask is, a ball, or a region of a ball."""

    def __init__(self, model: Predictor, whole: Segmentation, verdict: Verdict, *, in_regions: bool = False) -> None:
        self.manifest, self._whole, self._verdict, self._in_regions = model.manifest, whole, verdict, in_regions

    def check(self, volume: Volume, progress: object) -> Verdict:
        """The verdict."""
        return self._verdict

    def segment(self, volume: Volume, task: str, progress: object) -> Segmentation:
        """Left ball everywhere but in the middle."""
        labels = np.ones(volume.shape, np.uint8)
        labels[4:-4, 4:-4, 4:-4] = 0
        regions = np.stack([labels == 1, labels == 2]) if self._in_regions else None
        expected = {1: 0.9}
        like = np.zeros(volume.shape, np.float32)
        return replace(
            self._whole,
            volume=volume,
            labels=labels,
            uncertainty=like,
            confidence=like,
            regions=regions,
            region_confidence=expected if self._in_regions else {},
            predicted_dice=expected,
            warnings=(),
        )


KNOWN = Verdict(False, 1.0, 2.0, 0.5, BALLS, {BALLS: 1.0}, rivals=("Dataset002_Cubes",))
NOTHING = f"no structure of {BALLS} was found"


@pytest.mark.parametrize("in_regions", [False, True])
def test_what_lies_in_the_surroundings_alone_is_not_found_and_nothing_is_expected_of_it(
    model: Predictor, scan: Volume, whole: Segmentation, in_regions: bool
) -> None:
    found = Selection(BALLS, MIDDLE).segment(Answering(model, whole, KNOWN, in_regions=in_regions), scan, untold)
    row = found.report()["labels"][0]
    assert (row["voxels"], row["mean_confidence"], row["predicted_dice"]) == (0, None, None)
    assert NOTHING in found.warnings
    everywhere = Selection(BALLS, Region.between([-10, 200, -10, 200, -10, 200]))
    found = everywhere.segment(Answering(model, whole, KNOWN, in_regions=in_regions), scan, untold)
    assert found.report()["labels"][0]["predicted_dice"] == 0.9
    assert NOTHING not in found.warnings


def test_where_none_of_the_structures_that_are_wanted_was_found_a_warning_says_so(
    model: Predictor, scan: Volume, whole: Segmentation
) -> None:
    answering = Answering(model, whole, KNOWN)
    found = Selection(BALLS, structures=("right_ball",)).segment(answering, scan, untold)
    assert found.warnings == (f"no structure of {BALLS} that is wanted was found",)
    assert Selection(BALLS, structures=("left_ball",)).segment(answering, scan, untold).warnings == ()


def test_a_task_that_was_recognised_for_a_region_is_told_with_its_rivals(
    model: Predictor, scan: Volume, whole: Segmentation
) -> None:
    def rivals_of(selection: Selection) -> list[str]:
        found = selection.segment(Answering(model, whole, KNOWN), scan, untold)
        return [warning for warning in found.warnings if "the task is not certain" in warning]

    assert len(rivals_of(Selection("auto", MIDDLE))) == 1
    assert rivals_of(Selection(BALLS, MIDDLE, whole_check=True)) == []


def test_weak_structures_that_are_not_wanted_are_not_warned_of(whole: Segmentation) -> None:
    task = replace(whole.task, held_out_dice={"left_ball": 0.2, "right_ball": 0.3})
    found = replace(whole, task=task, warnings=(*weakness(task), "another"))
    (other, words) = only_structures(found, ["left_ball"]).warnings
    assert other == "another"
    assert "left ball (0.20)" in words
    assert "right ball" not in words


@pytest.mark.parametrize("whole_check", [False, True])
def test_of_a_region_the_file_knows_no_bound_and_the_words_do_not_say_that_patients_lack(
    model: Predictor, scan: Volume, whole_check: bool
) -> None:
    known = tuple(TaskQuality(12, 0.1, intercept=-0.05) for _ in model.manifest.tasks)
    manifest = replace(model.manifest, quality=QualityInfo(1, known))
    informed = Predictor(replace(model.model, manifest=manifest), "cpu", "torch")
    found = Selection(BALLS, MIDDLE, whole_check=whole_check).segment(informed, scan, untold)
    plain = Selection(BALLS, MIDDLE).segment(model, scan, untold)
    assert found.quality is not None
    assert plain.quality is not None
    assert found.quality.dice == plain.quality.dice
    assert (found.quality.margin, found.quality.why_no_bound) == (None, UNCHECKED_WORDS)
