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
from MultiTaskSegLib.runtime.ood.verdict import REGION_NOT_CHECKED
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
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
