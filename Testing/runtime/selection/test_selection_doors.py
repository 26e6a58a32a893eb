"""Regions and structures through the doors: command line, worker, and models that others trained."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copy2
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_list import listed_model
from MultiTaskSegLib.runtime.nnunet.preparation_plan import NONE, Z_SCORE, Normalisation, PreparationPlan, Resampling
from MultiTaskSegLib.runtime.nnunet.prepared_image import prepared_image
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED, REGION_NOT_CHECKED
from MultiTaskSegLib.runtime.predictor import Predictor, open_predictor
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.selection import Selection
from MultiTaskSegLib.runtime.worker import Worker
from Testing.runtime.imported.imported_models import imported, seeded
from Testing.runtime.tiny_model import write_tiny_model

BALLS = "Dataset001_Balls"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "scan.nii.gz"
    voxels = np.random.default_rng(8).normal(200, 40, (16, 18, 20)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def test_the_command_line_segments_in_a_box_and_keeps_what_is_wanted(
    model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(image), "-m", str(model), "-o", str(tmp_path / "out"), "--task", BALLS, "--json"]
    # R and A run against the stored axes here: the box is from voxel 4 to 11 along each.
    region = ["--region", "-11.5", "-3.5", "-11.5", "-3.5", "3.5", "11.5"]
    assert cli.main([*words, *region, "--structures", "right_ball"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["region"]["size_mm"] == [8.0, 8.0, 8.0]
    assert report["left_out"] == ["left_ball"]
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz")))
    assert labels.shape == (16, 18, 20)
    outside = np.ones(labels.shape, bool)
    outside[4:12, 4:12, 4:12] = False
    assert not labels[outside].any()
    assert set(np.unique(labels)) <= {0, 2}


@pytest.mark.parametrize("wrong", [["--structures", "left_bal"], ["--region", "1", "2"]])
def test_the_command_line_refuses_what_makes_no_sense(
    wrong: list[str], model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path / "out"), *wrong]) == 2
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_the_worker_takes_a_region_and_structures(model: Path, image: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    region = Region.between([-11.5, -3.5, -11.5, -3.5, 3.5, 11.5]).as_dict()
    asked = {"id": 1, "command": "segment", "model": str(model), "device": "cpu", "image": str(image), "task": BALLS}
    wish = {"region": region, "whole_check": True, "structures": ["left_ball"], "output": str(tmp_path)}
    assert Worker(events.append).handle(json.dumps({**asked, **wish}))
    result = events[-1]
    assert result["event"] == "result"
    assert result["report"]["region"] == region
    assert result["report"]["checked"]
    assert [entry["name"] for entry in result["legend"]] == ["left_ball"]
    events.clear()
    assert Worker(events.append).handle(
        json.dumps({**asked, "region": {"size_mm": [1, 1, 1]}, "output": str(tmp_path)})
    )
    assert events[-1]["kind"] == "UsageError"


def test_a_model_that_others_trained_labels_a_region_and_says_what_was_not_checked(tmp_path: Path) -> None:
    predictor = open_predictor(imported(tmp_path), "cpu")
    volume = Volume(seeded((16, 16, 16), 1).numpy() + 5, np.diag([-1.0, -1.0, 2.0, 1.0]), "noise")
    region = Region.between([1.5, 9.5, 1.5, 9.5, 3.0, 19.0])
    found = Selection("auto", region).segment(predictor, volume, lambda share, step: None)
    inside = region.holds(volume, (0, 0, 0), volume.shape)
    assert not found.labels[~inside].any()
    assert REGION_NOT_CHECKED in found.warnings
    assert NOT_CHECKED not in found.warnings


def test_nnunets_intensities_of_a_part_are_measured_on_the_whole() -> None:
    whole = np.random.default_rng(4).normal(50, 9, (12, 14, 16)).astype(np.float32)
    whole[:6] += 300
    part = np.ascontiguousarray(whole[7:11, 2:12, 3:15])
    for rule in (Normalisation(Z_SCORE), Normalisation("rescale01")):
        plan = PreparationPlan(
            "as_stored", (0, 1, 2), (1.0, 1.0, 1.0), (8, 8, 8), (rule,), Resampling(NONE), Resampling(NONE)
        )
        all_of_it = prepared_image([whole], (1.0, 1.0, 1.0), plan).voxels[0]
        found = prepared_image([part], (1.0, 1.0, 1.0), plan, [whole]).voxels[0]
        np.testing.assert_array_equal(found, all_of_it[7:11, 2:12, 3:15])


@pytest.mark.parametrize("door", ["command line", "worker"])
def test_of_several_models_the_one_for_a_region_is_chosen_by_the_whole_image(
    door: str, image: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    check = Predictor.check

    def noted(own: Predictor, volume: Volume, *told: Any) -> Any:
        """Note what is looked at."""
        looked.append(volume.shape)
        return check(own, volume, *told)

    monkeypatch.setattr(Predictor, "check", noted)
    copies = [copy2(model, tmp_path / f"{name}.mts.safetensors") for name in "ab"]
    monkeypatch.setattr(TorchMachine, "models", lambda self: [listed_model(path.stem, path) for path in copies])
    bounds = [-11.5, -3.5, -11.5, -3.5, 3.5, 11.5]
    if door == "worker":
        events: list[dict[str, Any]] = []
        asked = {"id": 1, "command": "segment", "device": "cpu", "image": str(image), "task": BALLS}
        region = Region.between(bounds).as_dict()
        assert Worker(events.append).handle(json.dumps({**asked, "region": region, "output": str(tmp_path)}))
        assert events[-1]["event"] == "result"
    else:
        words = ["segment", str(image), "-o", str(tmp_path / "out"), "--task", BALLS, "--region", *map(str, bounds)]
        assert cli.main(words) == 0
    assert looked == [(16, 18, 20)] * 2
