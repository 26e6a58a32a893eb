"""Temperatures fitted anew, by themselves and in a model file."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.seen_groups import trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.calibration.scaling import softmax
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.calibration.temperature import LabelledLogits, expected_calibration_error
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.provenance import unseen
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import refit_reference
from trainer.snapshot.snapshot_model import BUT_CHECK, BUT_LABELS, MEASURED
from trainer.snapshot.snapshot_model import KEY as SNAPSHOT
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), label_values=(2,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BALLS.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    return path, train_model([folder], path, CONFIG, Budget(steps=30), stream=io.StringIO())


def changed(trained: tuple[Path, Manifest], path: Path, temperature: float) -> Path:
    """The model with wrong temperatures."""
    manifest = trained[1]
    task = replace(manifest.tasks[0], temperature=temperature, surface_temperature=None)
    rewrite_manifest(trained[0], replace(manifest, tasks=(task,)), path)
    return path


def test_a_training_fits_both_temperatures(trained: tuple[Path, Manifest]) -> None:
    task = load_model(trained[0]).manifest.tasks[0]
    assert task.surface_temperature is not None
    assert 0.2 <= task.temperature <= 5.0
    assert 0.2 <= task.surface_temperature <= 20.0


def test_refitting_gives_what_the_training_gave_whatever_was_in_the_file(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    wrong = changed(trained, tmp_path / "wrong.mts.safetensors", 4.5)
    found = refit_calibration(wrong, [folder], tmp_path / "new.mts.safetensors", seed=1, stream=io.StringIO()).tasks[0]
    expected = trained[1].tasks[0]
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-4)
    assert found.surface_temperature == pytest.approx(expected.surface_temperature, rel=1e-4)
    assert found.calibration == pytest.approx(expected.calibration, abs=1e-4)
    assert found.held_out_dice == pytest.approx(expected.held_out_dice, abs=1e-12)
    assert load_model(tmp_path / "new.mts.safetensors").manifest.tasks[0] == found


def test_the_dice_in_the_file_is_that_of_the_results_under_the_new_temperatures(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    manifest = trained[1]
    task = replace(manifest.tasks[0], held_out_dice={"part2": 0.123}, held_out_cases=77)
    path = tmp_path / "x.mts.safetensors"
    rewrite_manifest(trained[0], replace(manifest, tasks=(task,)), path)
    refit_calibration(path, [folder], path, stream=io.StringIO())
    predictor, scores = Predictor.load(path, "cpu", "torch"), []
    for case in unseen(read_dataset(folder), manifest):
        result = predictor.segment(read_image(case.image), task.name)
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label))) == 2
        scores.append(2 * ((result.labels == 2) & truth).sum() / ((result.labels == 2).sum() + truth.sum()))
    (found,) = predictor.manifest.tasks
    assert found.held_out_dice == pytest.approx({"part2": float(np.mean(scores))}, abs=1e-12)
    assert found.held_out_cases == len(scores)


def test_nothing_but_the_calibration_changes(trained: tuple[Path, Manifest], folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.mts.safetensors"
    manifest = refit_calibration(trained[0], [folder], target, stream=io.StringIO())
    before, after = load_file(trained[0]), load_file(target)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    task, own = manifest.tasks[0], trained[1].tasks[0]
    kept = replace(
        task, temperature=own.temperature, surface_temperature=own.surface_temperature, calibration=own.calibration
    )
    # Whoever finds figures of the file before knows that the weights are the same and the temperatures are not.
    assert manifest.training["refitted_from"] == [read_manifest(trained[0])[1]]
    training = {key: value for key, value in manifest.training.items() if key != "refitted_from"}
    # Nor are the new temperatures from the cases that the training ended with: all held-out ones were measured.
    training["measured"] = trained[1].training["measured"]
    assert to_plain(replace(manifest, tasks=(kept,), training=training)) == to_plain(trained[1])
    assert "measured" not in manifest.training


@pytest.mark.parametrize("is_reference_first", [False, True])
def test_a_snapshot_says_of_what_was_not_measured_on_it_that_it_is_the_finished_model_s(
    is_reference_first: bool, trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    path, known = tmp_path / "x.mts.safetensors", {"of": "m", "weights_sha256": "ab"}
    training = trained[1].training | {SNAPSHOT: known | {"measured": MEASURED}}
    rewrite_manifest(trained[0], replace(trained[1], training=training), path)
    refits = [(refit_calibration, BUT_LABELS), (refit_reference, BUT_CHECK)]
    (first, still), (second, _) = reversed(refits) if is_reference_first else refits
    for _ in range(2):
        assert first(path, [folder], path, stream=io.StringIO()).training[SNAPSHOT] == known | {"measured": still}
    assert second(path, [folder], path, stream=io.StringIO()).training[SNAPSHOT] == known


def test_what_was_measured_as_the_file_before_is_not_the_new_file_s(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.mts.safetensors"
    rewrite_manifest(trained[0], replace(trained[1], training=trained[1].training | {"measured_as": ["older"]}), path)
    before = read_manifest(path)[1]
    training = refit_calibration(path, [folder], path, stream=io.StringIO()).training
    assert "measured_as" not in training
    assert training["refitted_from"] == [before, "older"]
    once = read_manifest(path)[1]
    again = refit_calibration(path, [folder], path, stream=io.StringIO()).training
    assert again["refitted_from"] == [once, before, "older"]


def test_the_labels_of_an_image_do_not_depend_on_the_temperatures(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    volume = read_image(read_dataset(folder).cases[0].image)
    one = Predictor.load(trained[0], "cpu").segment(volume)
    other = Predictor.load(changed(trained, tmp_path / "x.mts.safetensors", 3.0), "cpu").segment(volume)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert not np.array_equal(one.uncertainty, other.uncertainty)


def test_a_task_without_folder_is_refused(trained: tuple[Path, Manifest], tmp_path: Path) -> None:
    other = BallDataset("Dataset009_Knee", shape=(6, 12, 12), patients=3).write(tmp_path)
    with pytest.raises(DatasetError, match="no folder for Dataset001_BallT1"):
        refit_calibration(trained[0], [other], tmp_path / "new.mts.safetensors", stream=io.StringIO())


def test_a_model_whose_held_out_patients_are_not_there_is_refused(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path
) -> None:
    training = trained[1].training | trained_on({BALLS.name: read_dataset(folder).groups})
    path = tmp_path / "x.mts.safetensors"
    rewrite_manifest(trained[0], replace(trained[1], training=training), path)
    with pytest.raises(DatasetError, match="no held-out case"):
        refit_calibration(path, [folder], path, stream=io.StringIO())


def test_the_command_replaces_the_model_and_says_what_it_found(
    trained: tuple[Path, Manifest], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(trained, tmp_path / "x.mts.safetensors", 4.5)
    assert cli.main(["calibrate", "-m", str(path), "--data", str(folder)]) == 0
    assert "near the surface; ECE" in capsys.readouterr().out
    assert load_model(path).manifest.tasks[0].surface_temperature is not None


def test_figures_are_those_of_patients_that_the_temperatures_never_saw() -> None:
    # Two patients whose networks are wrong in opposite ways: each is judged by the other's temperature.
    rng = np.random.default_rng(1)
    cases = []
    for group, factor in (("a", 4.0), ("b", 0.5)):
        right = 2 * rng.normal(size=(1, 30, 40))
        truth = rng.random(right.shape) < softmax(np.stack([0 * right, right]).astype(np.float32))[1]
        logits = factor * np.stack([0 * right, right]).astype(np.float32)
        cases.append(HeldOutCase(group, logits, truth.astype(np.uint8)))
    together, apart = TaskCalibration(seed=1), [TaskCalibration(seed=1) for _ in cases]
    for case in cases:
        together.add(case)
    for calibration, other in zip(apart, reversed(cases), strict=True):
        calibration.add(other)
    swapped = [calibration.scaling() for calibration in apart]
    everywhere = np.ones(cases[0].labels.shape, dtype=bool)
    expected = LabelledLogits(
        np.concatenate(
            [np.log(s.probabilities(c.logits))[:, everywhere].T for s, c in zip(swapped, cases, strict=True)]
        ),
        np.concatenate([case.labels[everywhere].astype(np.int64) for case in cases]),
    )
    # Among so many small structures almost every voxel is near one.
    assert together.figures()["ece"] == pytest.approx(expected_calibration_error(expected, 1.0), abs=0.02)
    assert together.figures()["ece"] > together.figures()["ece_uncalibrated"] + 0.05
