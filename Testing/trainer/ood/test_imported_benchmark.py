"""The benchmark measures imported models as it does networks of our own: same images, shipped check, figures."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.ood.signature import MULTILAYER_FLOOR, SignatureSpec
from Testing.runtime.imported.imported_models import imported
from trainer import cli
from trainer.data.dataset import read_dataset
from trainer.data.provenance import CHECK_KEY, unknown_to_check
from trainer.ood.benchmark import BenchmarkSettings, run_benchmark
from trainer.ood.catalogue import catalogue
from trainer.ood.detector.features import load_features, save_features
from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.look import ImportedLook, Truth

SHAPE, CASES = (16, 18, 18), 10
HELD_OUT = ("ball_7", "ball_8", "ball_9")


def write(values: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1, 1, 2))
    sitk.WriteImage(image, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, a model with it as its reference, and foreign images."""
    base = tmp_path_factory.mktemp("bench")
    dataset = base / "Dataset900_Tiny"
    for part in (dataset / "imagesTr", dataset / "labelsTr", base / "foreign" / "noise"):
        part.mkdir(parents=True)
    distance = np.sqrt(((np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2) ** 2).sum(0))
    for case in range(CASES):
        rng = np.random.default_rng(case)
        ball = 1 / (1 + np.exp(distance - 5 + rng.normal(0, 0.3)))
        values = 100 + 400 * ball + 20 * gaussian_filter(rng.normal(size=SHAPE), 1)
        write(values.astype(np.float32), dataset / "imagesTr" / f"ball_{case}_0000.nii.gz")
        write((ball > 0.5).astype(np.uint8), dataset / "labelsTr" / f"ball_{case}.nii.gz")
    facts = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "left": 1, "right": 2}}
    (dataset / "dataset.json").write_text(json.dumps({**facts, "numTraining": CASES, "file_ending": ".nii.gz"}))
    for number in range(2):
        noise = np.random.default_rng(number).normal(100, 40, SHAPE).astype(np.float32)
        write(noise, base / "foreign" / "noise" / f"n{number}.nii.gz")
    model = imported(base)
    assert cli.main(["reference", "-m", str(model), "--data", str(dataset), "--held-out", *HELD_OUT]) == 0
    return base


def test_all_figures_of_an_imported_model_are_measured(folder: Path, tmp_path: Path) -> None:
    settings = BenchmarkSettings(families=("real", "artefact"), artefact_cases=1)
    model, dataset = folder / "tiny.mts.safetensors", folder / "Dataset900_Tiny"
    (found,) = run_benchmark([model], [dataset], [folder / "foreign"], tmp_path, settings, stream=io.StringIO())[
        "models"
    ]
    assert found["shipped"]["known_images"] == len(HELD_OUT)
    assert found["shipped"]["sensitivity"]["real"] == 1.0
    assert found["detectors"][SHIPPED]["real"]["auroc"] == 1.0
    assert "lead_of_shipped" in found["detectors"]["whitened, first two stages and image"]["artefact"]
    assert {row["name"] for row in found["images"] if row["family"] == "known"} == set(HELD_OUT)
    assert all(row["dice"] is not None for row in found["images"] if row["family"] == "known")
    assert (tmp_path / "report.html").is_file()


def test_what_is_looked_at_is_what_the_check_sees_and_what_the_model_segments(folder: Path, tmp_path: Path) -> None:
    predictor = ImportedPredictor(load_imported(folder / "tiny.mts.safetensors"), torch.device("cpu"))
    volume = read_image(folder / "Dataset900_Tiny" / "imagesTr" / "ball_8_0000.nii.gz")
    labels = predictor.segment(volume).labels
    (task,) = predictor.manifest.tasks
    features, dice = ImportedLook(predictor)(volume, task.profile, Truth(task.name, labels, {1: "left", 2: "right"}))
    assert dice == pytest.approx(1.0)
    spec = SignatureSpec("multilayer", ("encoder0", "encoder2"), MULTILAYER_FLOOR)
    for name, spectrum in predictor.spectra(volume, spec).items():
        found = features.layers[name].spectrum()
        np.testing.assert_allclose(found.singular_values, spectrum.singular_values, rtol=1e-5)
        np.testing.assert_allclose(features.layers[name].means, spectrum.channel_means, rtol=1e-5, atol=1e-7)
    output = features.outputs[task.name]
    assert output.voxels == labels.size
    assert output.foreground == np.count_nonzero(labels)
    save_features(tmp_path / "a.npz", features)
    again = load_features(tmp_path / "a.npz")
    assert again.layers["encoder0"].spectrum().voxels == features.layers["encoder0"].spectrum().voxels
    np.testing.assert_array_equal(again.layers["encoder0"].means, features.layers["encoder0"].means)


def test_the_file_says_whose_images_its_check_knows_and_names_nobody(folder: Path, tmp_path: Path) -> None:
    manifest = load_imported(folder / "tiny.mts.safetensors").manifest
    dataset = read_dataset(folder / "Dataset900_Tiny")
    assert [case.name for case in unknown_to_check(dataset, manifest)] == list(HELD_OUT)
    assert "ball" not in json.dumps(manifest.training)
    without = load_imported(imported(tmp_path)).manifest
    with pytest.raises(ModelError, match="of which patients"):
        unknown_to_check(dataset, without)


def test_what_cannot_be_measured_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    model, dataset = folder / "tiny.mts.safetensors", folder / "Dataset900_Tiny"
    where = ([dataset], [folder / "foreign"], tmp_path / "out")
    with pytest.raises(UsageError, match="predicts once"):
        run_benchmark([model], *where, BenchmarkSettings(passes=2))
    with pytest.raises(ModelError, match="no reference"):
        run_benchmark([imported(tmp_path)], *where)
    assert not (tmp_path / "out").exists()


def test_images_of_the_reference_are_known_whatever_their_folders_are_called(folder: Path, tmp_path: Path) -> None:
    whole, parts = folder / "Dataset900_Tiny", [tmp_path / name for name in ("Dataset901_Near", "Dataset902_Far")]
    for number, part in enumerate(parts):
        shutil.copytree(whole, part)
        for file in [*part.glob("imagesTr/*"), *part.glob("labelsTr/*")]:
            if int(file.name[5]) // 5 != number:
                file.unlink()
        facts = json.loads((part / "dataset.json").read_text())
        (part / "dataset.json").write_text(json.dumps(facts | {"numTraining": CASES // 2}))
    model, named = imported(tmp_path), [str(part) for part in parts]
    assert cli.main(["reference", "-m", str(model), "--data", *named, "--held-out", *HELD_OUT]) == 0
    predictor = ImportedPredictor(load_imported(model), torch.device("cpu"))
    entries = catalogue(predictor, [read_dataset(part) for part in parts], [folder / "foreign"], 1)
    assert {entry.name for entry in entries if entry.family == "known"} == set(HELD_OUT)
    assert sum(entry.family == "training" for entry in entries) == CASES - len(HELD_OUT)
    assert {entry.source for entry in entries if entry.family in ("left-out", "real")} == {"noise"}
    assert {entry.task for entry in entries if entry.family == "training"} == {predictor.manifest.tasks[0].name}


@pytest.mark.parametrize("salt", ["no digits", 7, None])
def test_a_record_that_is_none_is_refused_in_words(salt: object, folder: Path) -> None:
    manifest = load_imported(folder / "tiny.mts.safetensors").manifest
    spoilt = replace(
        manifest, training={**manifest.training, CHECK_KEY: {**manifest.training[CHECK_KEY], "salt": salt}}
    )
    with pytest.raises(ModelError, match="of which patients"):
        unknown_to_check(read_dataset(folder / "Dataset900_Tiny"), spoilt)
