"""The measure of whether a shift's place is found: on maps whose answer is known, and once from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.seen_groups import trained_on
from trainer import cli
from trainer.ood.localisation import cell_auroc, mean_by_cell, measure_localisation, summarise

CELL = (2, 4, 4)
RESULTS = Path(__file__).parents[3] / "docs" / "results"
PROFILE = Profile("p", "spacing", Intensity("percentile", 0.0, 100.0), spacing_zyx_mm=(1.0, 1.0, 1.0))


def prepared(shape: tuple[int, int, int] = (6, 16, 13), flip: bool = False):
    matrix = np.diag([-1.0, 1.0, -1.0, 1.0]) if flip else np.eye(4)
    return prepare(Volume(np.random.default_rng(0).random(shape, dtype=np.float32), matrix, ""), PROFILE)


def test_means_by_cell_are_those_of_the_voxels_in_it_in_canonical_axes() -> None:
    array = np.random.default_rng(1).random((6, 16, 13)).astype(np.float32)
    found = mean_by_cell(array, prepared(flip=True), CELL)
    canonical = array[::-1, :, ::-1]
    assert found.shape == (3, 4, 4)
    assert found[1, 2, 0] == pytest.approx(canonical[2:4, 8:12, 0:4].mean())
    assert found[2, 3, 3] == pytest.approx(canonical[4:6, 12:16, 12:13].mean())


def test_a_map_that_marks_the_insertion_gets_one_and_its_opposite_zero() -> None:
    inserted = np.zeros((6, 16, 13), dtype=bool)
    inserted[2:4, 4:12, 4:8] = True
    image = prepared()
    assert cell_auroc(inserted.astype(np.float32), inserted, image, CELL) == 1.0
    assert cell_auroc(-inserted.astype(np.float32), inserted, image, CELL) == 0.0
    assert cell_auroc(np.zeros(inserted.shape, np.float32), inserted, image, CELL) == 0.5


def test_cells_that_are_touched_but_not_half_covered_do_not_count() -> None:
    inserted = np.zeros((6, 16, 13), dtype=bool)
    inserted[2:4, 4:8, 4:8] = True
    inserted[0, 0, 0] = True  # a sliver of another cell, which the map does not mark
    marked = inserted.astype(np.float32)
    marked[0, 0, 0] = -5.0
    assert cell_auroc(marked, inserted, prepared(), CELL) == 1.0


def test_an_insertion_smaller_than_half_a_cell_cannot_be_judged() -> None:
    inserted = np.zeros((6, 16, 13), dtype=bool)
    inserted[0, 0, 0] = True
    assert cell_auroc(inserted.astype(np.float32), inserted, prepared(), CELL) is None


def inserted_row(task: str, group: str, kind: str, auroc: float, control: float) -> dict[str, Any]:
    return {"task": task, "group": group, "kind": kind, "auroc": auroc, "control": control}


def test_tasks_count_alike_and_images_within_them() -> None:
    rows = [inserted_row("a", f"p{n}", "patch", v, v - 0.3) for n, v in enumerate((1.0, 0.8, 0.9))]
    rows += [inserted_row("b", "q", kind, v, 0.4) for kind, v in (("patch", 0.5), ("streak", 0.7))]
    summary = summarise(rows)
    assert summary["patch"]["auroc"] == pytest.approx((0.9 + 0.5) / 2)
    assert summary["patch"]["control"] == pytest.approx((0.6 + 0.4) / 2)
    assert summary["patch"]["by_task"]["a"]["images"] == 3
    # Student's, cut off at 1: t(0.975, 2 degrees of freedom) = 4.302653, standard error 0.1 / sqrt(3).
    assert summary["patch"]["by_task"]["a"]["interval"] == pytest.approx([0.9 - 4.302653 * 0.1 / 3**0.5, 1.0])
    # One image has no interval.
    assert summary["streak"]["by_task"]["b"] == {"auroc": 0.7, "interval": None, "control": 0.4, "images": 1}
    assert summary["streak"]["interval"] is None


def test_the_interval_of_the_mean_over_tasks_draws_each_patient_once() -> None:
    values = np.random.default_rng(0).random(12).tolist()

    def width(same_patients: bool) -> float:
        groups = [str(n % 6 if same_patients else n) for n in range(12)]
        # Of the same patients both tasks say the same.
        rows = [inserted_row("ab"[n // 6], groups[n], "patch", values[n % 6], 0.5) for n in range(12)]
        low, high = summarise(rows)["patch"]["interval"]
        assert low < np.mean(values[:6]) < high
        return float(high - low)

    assert width(same_patients=True) > 1.3 * width(same_patients=False)


def noise_file(path: Path, seed: int, spread: float) -> Path:
    voxels = np.random.default_rng(seed).normal(100, 20, (40, 44, 42)).astype(np.float32)
    voxels[:, ::4] += spread
    volume = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(to_sitk(voxels, volume), path)
    return path


def dataset(folder: Path) -> Path:
    """Two cases of a dataset with the name of the tiny model's first task."""
    for number in (1, 2):
        noise_file(folder / "imagesTr" / f"balls_{number:03d}_0000.nii.gz", number, 0.0)
        labels = np.zeros((40, 44, 42), dtype=np.uint8)
        labels[5:9, 5:9, 5:9] = 1
        path = folder / "labelsTr" / f"balls_{number:03d}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_image(to_sitk(labels, Volume(labels.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]), "")), path)
    description = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "left_ball": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def model(path: Path, with_cells: bool = True) -> Path:
    """A tiny model that has seen nobody whom it is measured on."""
    write_tiny_model(path, with_cells=with_cells)
    manifest, _ = read_manifest(path)
    rewrite_manifest(path, replace(manifest, training=trained_on({"Dataset001_Balls": ["somebody else"]})), path)
    return path


def test_from_images_to_figures(tmp_path: Path) -> None:
    predictor = Predictor.load(model(tmp_path / "m.mts.safetensors"), "cpu")
    known = dataset(tmp_path / "Dataset001_Balls")
    foreign = noise_file(tmp_path / "foreign" / "stripes.nii.gz", 9, 200.0)
    output = tmp_path / "localisation.json"
    figures = measure_localisation(predictor, [known], [foreign], output, seed=3)
    assert json.loads(output.read_text()) == figures
    assert {row["kind"] for row in figures["images"]} == {"patch", "streak"}
    assert figures["model"] == predictor.model.digest
    other = measure_localisation(predictor, [known], [foreign], tmp_path / "other.json", seed=4)
    assert [row["auroc"] for row in other["images"]] != [row["auroc"] for row in figures["images"]]
    # Stripes ten times as strong as the noise are found almost without fail, thin streaks mostly.
    least = {"patch": 0.85, "streak": 0.65}
    assert all(least[row["kind"]] < row["auroc"] <= 1.0 for row in figures["images"])
    # Noise is alike everywhere, so that the place of an insertion alone says nothing.
    assert all(0.2 < row["control"] < 0.62 for row in figures["images"])
    again = measure_localisation(predictor, [known], [foreign], tmp_path / "again.json", seed=3)
    assert again == figures
    few = measure_localisation(predictor, [known], [foreign], tmp_path / "few.json", seed=3, images_per_task=1)
    assert {row["image"] for row in few["images"]} < {row["image"] for row in figures["images"]}


def test_the_command_writes_the_figures_and_says_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path / "m.mts.safetensors")
    known = dataset(tmp_path / "Dataset001_Balls")
    noise_file(tmp_path / "foreign" / "stripes.nii.gz", 9, 200.0)
    words = ["experiment", "localisation", "-m", str(path), "--data", str(known), "--ood", str(tmp_path / "foreign")]
    assert cli.main([*words, "--images", "1", "-o", str(tmp_path / "out.json")]) == 0
    figures = json.loads((tmp_path / "out.json").read_text())
    assert f"patch: mean AUROC per cell {figures['patch']['auroc']:.3f}" in capsys.readouterr().out


def test_without_images_or_memories_nothing_is_measured(tmp_path: Path) -> None:
    predictor = Predictor.load(model(tmp_path / "m.mts.safetensors", with_cells=False), "cpu")
    with pytest.raises(DatasetError):
        measure_localisation(predictor, [], [], tmp_path / "out.json")
    known = dataset(tmp_path / "Dataset001_Balls")
    foreign = noise_file(tmp_path / "foreign" / "stripes.nii.gz", 9, 200.0)
    with pytest.raises(ModelError, match="cannot tell where"):
        measure_localisation(predictor, [known], [foreign], tmp_path / "out.json")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("localisation-*.json")), ids=lambda path: path.stem)
def test_published_figures_follow_from_their_images(path: Path) -> None:
    published = json.loads(path.read_text(encoding="utf-8"))
    for kind, figures in summarise(published["images"], published["seed"]).items():
        assert published[kind]["interval"] == pytest.approx(figures["interval"])
        assert published[kind]["by_task"].keys() == figures["by_task"].keys()
        for task, found in figures["by_task"].items():
            kept = dict(published[kind]["by_task"][task])
            assert kept.pop("interval") == pytest.approx(found.pop("interval"))
            assert kept == pytest.approx(found)
