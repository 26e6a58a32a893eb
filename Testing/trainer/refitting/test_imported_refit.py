"""An imported model with a reference knows images like those of its training, and tells foreign ones and where."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.described_model import described_model
from MultiTaskSegLib.runtime.imported.imported_file import load_imported, save_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.predictor import open_predictor
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from Testing.runtime.imported.imported_models import imported, results_folder
from Testing.runtime.tiny_model import write_tiny_model
from trainer import cli
from trainer.data.dataset import read_datasets
from trainer.refitting import imported_refit
from trainer.refitting.imported_refit import refit_imported

SHAPE = (18, 20, 20)
CASES = 10
SPACING = np.diag([1.0, 1.0, 2.0, 1.0])


def voxels(seed: int, noise: float = 0.05) -> np.ndarray:
    """A bright ball that is a little different each time, in smooth noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    centre = np.array(SHAPE) / 2 + rng.normal(0, 0.5, 3)
    distance = np.sqrt(((np.stack([z, y, x], -1) - centre) ** 2).sum(-1))
    ball = 1 / (1 + np.exp(distance - 5 + rng.normal(0, 0.3)))
    return (100 + 400 * ball + 400 * noise * gaussian_filter(rng.normal(size=SHAPE), 1)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "Dataset900_Tiny"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in range(CASES):
        for name, values in (("imagesTr/ball_{}_0000", voxels(case)), ("labelsTr/ball_{}", voxels(case) > 300)):
            image = sitk.GetImageFromArray(values.astype(np.float32 if "images" in name else np.uint8))
            image.SetSpacing((1, 1, 2))
            sitk.WriteImage(image, folder / f"{name.format(case)}.nii.gz")
    facts = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "left": 1, "right": 2}}
    (folder / "dataset.json").write_text(json.dumps({**facts, "numTraining": CASES, "file_ending": ".nii.gz"}))
    return folder


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = imported(tmp_path_factory.mktemp("model"))
    assert cli.main(["reference", "-m", str(path), "--data", str(dataset)]) == 0
    return path


def opened(path: Path) -> ImportedPredictor:
    predictor = open_predictor(path, "cpu")
    assert isinstance(predictor, ImportedPredictor)
    return predictor


def test_images_like_those_of_the_training_are_known_and_others_foreign(model: Path) -> None:
    predictor = opened(model)
    assert not predictor.check(Volume(voxels(77), SPACING, "like")).is_ood
    rng = np.random.default_rng(0)
    foreign = predictor.check(Volume(rng.normal(100, 40, SHAPE).astype(np.float32), SPACING, "noise"))
    assert foreign.is_ood
    assert foreign.explanation is not None


def test_a_segmentation_has_the_verdict_of_the_check_and_is_called_checked(model: Path) -> None:
    predictor, volume = opened(model), Volume(voxels(77), SPACING, "like")
    found, checked = predictor.segment(volume), predictor.check(volume)
    assert found.verdict is not None
    assert found.verdict.score == pytest.approx(checked.score, rel=1e-4)
    report = found.report()
    assert report["checked"] is True
    assert report["ood"]["is_ood"] is False
    assert not [warning for warning in found.warnings if "not checked" in warning]


def test_the_map_shows_where_something_was_put_in(model: Path) -> None:
    values = voxels(77)
    values[3:7, 3:7, 3:7] = 2000 * np.indices((4, 4, 4)).sum(0) % 1700
    verdict, rarity = opened(model).locate(Volume(values, SPACING, "spoilt"))
    assert rarity.shape == SHAPE
    assert rarity[3:7, 3:7, 3:7].mean() > rarity[12:, 12:, 12:].mean() + 0.5
    assert verdict.nearest_task == "Dataset900_Tiny"


def test_an_image_whose_axes_are_stored_otherwise_is_warned_of(model: Path) -> None:
    turned = Volume(voxels(77), np.diag([-1.0, 1.0, 2.0, 1.0]), "turned")
    assert any("axes that run to RPS" in warning for warning in opened(model).check(turned).warnings)


def test_weights_and_plan_stay_as_they_were(model: Path, tmp_path: Path) -> None:
    with_reference, without = load_imported(model), load_imported(imported(tmp_path))
    assert with_reference.manifest.plan == without.manifest.plan
    for name, tensor in without.networks[0].state_dict().items():
        assert tensor.equal(with_reference.networks[0].state_dict()[name])
    said = with_reference.manifest.training
    assert said["reference"]["known"] + said["reference"]["held_out"] == CASES
    assert said["orientations"] == {"LPS": CASES}


def test_import_takes_the_reference_at_once_or_writes_nothing(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = results_folder(tmp_path / "results"), tmp_path / "model.mts.safetensors"
    command = ["import-nnunet", str(folder), "-o", str(output), "--licence", "CC0", "--reference", str(dataset)]
    assert cli.main([*command, "--held-out", "nobody"]) == 4
    assert "no case nobody" in capsys.readouterr().err
    assert not output.exists()
    assert cli.main([*command, "--held-out", "ball_1", "ball_2", "ball_3"]) == 0
    assert "limit" in capsys.readouterr().out
    assert load_imported(output).manifest.training["reference"] == {"known": CASES - 3, "held_out": 3}


def test_labels_that_are_the_models_own_have_a_dice_of_one_and_ask_for_more_confidence(
    dataset: Path, tmp_path: Path
) -> None:
    path, own = imported(tmp_path), tmp_path / "data" / dataset.name
    shutil.copytree(dataset, own)
    predictor = opened(path)
    for case in range(CASES):
        found = predictor.segment(read_image(own / "imagesTr" / f"ball_{case}_0000.nii.gz"))
        write_image(to_sitk(found.labels, found.volume), own / "labelsTr" / f"ball_{case}.nii.gz")
    assert cli.main(["reference", "-m", str(path), "--data", str(own), "--held-out", "ball_0", "ball_1", "ball_2"]) == 0
    measured = opened(path)
    (task,) = measured.manifest.tasks
    assert task.held_out_cases == 3
    assert task.held_out_dice == {"left": pytest.approx(1), "right": pytest.approx(1)}
    assert task.temperature < 0.5
    assert task.calibration["ece"] < task.calibration["ece_uncalibrated"]
    before, after = predictor.segment(found.volume), measured.segment(found.volume)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.uncertainty.mean() < before.uncertainty.mean()
    assert set(before.predicted_dice) == set()
    assert 0 < after.predicted_dice[1] <= 1
    assert "measured on 3 cases" in described_model(path).card
    # A new reference without held-out cases changes neither temperature nor what is known of the quality.
    assert measured.manifest.quality == QualityInfo(1, (TaskQuality(3),))
    assert cli.main(["reference", "-m", str(path), "--data", str(own)]) == 0
    assert opened(path).manifest.tasks == measured.manifest.tasks
    assert opened(path).manifest.quality == measured.manifest.quality


def test_of_a_single_fold_nnunets_own_validation_says_who_is_unseen(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results_folder(tmp_path / "results")
    (folder / "fold_0" / "validation").mkdir()
    cases = [{"prediction_file": f"C:\\results\\fold_0\\ball_{case}.nii.gz", "metrics": {}} for case in (4, 5)]
    (folder / "fold_0" / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    output = tmp_path / "model.mts.safetensors"
    command = ["import-nnunet", str(folder), "-o", str(output), "--licence", "CC0", "--reference", str(dataset)]
    assert cli.main(command) == 0
    manifest = load_imported(output).manifest
    assert manifest.training["validation_cases"] == ["ball_4", "ball_5"]
    assert manifest.training["reference"] == {"known": CASES - 2, "held_out": 2}
    assert manifest.is_calibrated
    capsys.readouterr()
    again = ["reference", "-m", str(output), "--data", str(dataset), "--held-out", "ball_4", "ball_1", "ball_5"]
    assert cli.main(again) == 0
    told = capsys.readouterr().err
    assert "did not validate the fold on ball_1: if it was trained on them" in told


def test_a_model_that_was_trained_here_needs_no_names_of_cases(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_tiny_model(tmp_path / "own.mts.safetensors")
    assert cli.main(["reference", "-m", str(own), "--data", str(dataset), "--held-out", "ball_1"]) == 2
    assert "--held-out" in capsys.readouterr().err


def test_only_maps_of_the_encoder_can_be_compared(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = imported(tmp_path), tmp_path / "other.mts.safetensors"
    command = ["reference", "-m", str(path), "--data", str(dataset), "-o", str(output)]
    for words in (["--variant", "paper"], ["--layers", "encoder0", "decoder0"]):
        assert cli.main([*command, *words]) == 2
        assert "not decoder0" in capsys.readouterr().err
    assert not output.exists()
    assert cli.main([*command, "--variant", "multilayer"]) == 0
    assert opened(output).manifest.ood.layers == ("encoder0", "encoder1", "encoder2")


@pytest.mark.parametrize("words", [[], ["--held-out", *(f"ball_{case}" for case in range(CASES - 1))]])
def test_too_few_patients_for_a_reference_are_told_before_any_work(
    words: list[str], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imported(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(ImportedPredictor, "spectra", None)
    assert cli.main(["reference", "-m", str(path), "--data", *([str(dataset)] if words else []), *words]) == 4
    assert "fewer than 2 patients" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_of_the_validated_cases_a_folder_may_have_a_part(dataset: Path, tmp_path: Path) -> None:
    folder, output = results_folder(tmp_path / "results"), tmp_path / "model.mts.safetensors"
    (folder / "fold_0" / "validation").mkdir()
    cases = [{"prediction_file": f"/results/{name}.nii.gz"} for name in ("ball_4", "elsewhere")]
    (folder / "fold_0" / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": cases}))
    command = ["import-nnunet", str(folder), "-o", str(output), "--licence", "CC0", "--reference", str(dataset)]
    assert cli.main(command) == 0
    assert load_imported(output).manifest.training["reference"] == {"known": CASES - 1, "held_out": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["-o", "m.mts.safetensors", "--held-out", "ball_1"], "--held-out"), (["--reference", "d"], "-o")],
)
def test_words_that_would_do_nothing_are_refused(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results_folder(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["import-nnunet", str(folder), "--licence", "CC0", *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "m.mts.safetensors").exists()


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_model_that_was_imported_meanwhile_is_not_replaced(
    is_elsewhere: bool, model: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, own = tmp_path / model.name, load_imported(model)
    shutil.copy(model, path)
    source = model if is_elsewhere else path

    def later(*arguments: Any, **named: Any) -> Any:
        """The model was read before."""
        save_imported(path, replace(own.manifest, intended_use="another", ood=None, quality=None), own.networks)
        return read_datasets(*arguments, **named)

    monkeypatch.setattr(imported_refit, "read_datasets", later)
    with pytest.raises(ModelError, match="another model has taken the place"):
        refit_imported(source, [dataset], path, stream=io.StringIO())
    assert load_imported(path).manifest.intended_use == "another"
