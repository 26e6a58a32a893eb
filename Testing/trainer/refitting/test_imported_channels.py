"""References of imported models that take several channels, and calibration of those whose regions may overlap."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.image.channel_set import joined
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES
from MultiTaskSegLib.runtime.predictor import open_predictor
from Testing.runtime.imported.imported_models import REGIONS, imported, plans_with
from trainer import cli

SHAPE, CASES = (16, 18, 20), 8
NAMES = {"0": "T1", "1": "FLAIR"}


def write(values: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1, 1, 2))
    sitk.WriteImage(image, path)


def written_dataset(folder: Path, facts: dict[str, Any]) -> Path:
    """Noise; the label map has shells around the middle."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    middle = np.array(SHAPE)[:, None, None, None] / 2
    distance = np.sqrt(((np.indices(SHAPE) - middle) ** 2).sum(0))
    labels = np.select([distance < 3, distance < 5, distance < 7], [3, 2, 1], 0).astype(np.uint8)
    write(labels, folder / "first.nii.gz")
    for case in range(CASES):
        rng = np.random.default_rng(case)
        for number in range(len(facts["channel_names"])):
            values = (rng.normal(100, 20, SHAPE) + 50 * number * (labels > 0)).astype(np.float32)
            write(values, folder / "imagesTr" / f"a{case}_{number:04}.nii.gz")
        (folder / "labelsTr" / f"a{case}.nii.gz").write_bytes((folder / "first.nii.gz").read_bytes())
    (folder / "first.nii.gz").unlink()
    (folder / "dataset.json").write_text(json.dumps(facts | {"numTraining": CASES, "file_ending": ".nii.gz"}))
    return folder


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset, and a model that has it as its reference."""
    tmp_path = tmp_path_factory.mktemp("two")
    facts = {"channel_names": NAMES, "labels": {"background": 0, "left": 1, "right": 2, "middle": 3}}
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", facts)
    known = {**REGIONS, "labels": {"background": 0, "left": 1, "right": 2}, "channel_names": NAMES}
    del known["regions_class_order"]
    plans = plans_with(normalization_schemes=["ZScoreNormalization"] * 2, use_mask_for_norm=[False] * 2)
    path = imported(tmp_path, dataset=known, plans=plans)
    assert cli.main(["reference", "-m", str(path), "--data", str(dataset)]) == 0
    return dataset, path


def channels(dataset: Path, case: int = 0) -> list[Path]:
    return [dataset / "imagesTr" / f"a{case}_{number:04}.nii.gz" for number in range(2)]


def test_the_reference_knows_every_channel_of_an_image(two_channels: tuple[Path, Path]) -> None:
    dataset, path = two_channels
    model = load_imported(path)
    assert model.reference is not None
    assert model.reference.vectors["image.texture0"].shape[1] == 2 * 27
    assert model.memories[0].mean.shape == (2 * FEATURES,)
    predictor = ImportedPredictor(model, torch.device("cpu"))
    volume = joined([read_image(file) for file in channels(dataset)])
    verdict, rarity = predictor.locate(volume)
    assert rarity.shape == SHAPE
    blurred = replace(volume, further=(np.full(SHAPE, 100, np.float32) + np.indices(SHAPE)[0].astype(np.float32),))
    worse = predictor.check(blurred)
    assert worse.score > 2 * verdict.score
    assert worse.explanation is not None
    assert max(worse.explanation.blocks, key=lambda block: block.ratio).layer


def test_a_file_of_earlier_versions_compares_the_first_channel_alone(two_channels: tuple[Path, Path]) -> None:
    _, path = two_channels
    manifest = load_imported(path).manifest
    (task,) = manifest.tasks
    earlier = replace(manifest, tasks=(replace(task, profile=replace(task.profile, further=())),))
    assert manifest.ood is not None
    assert earlier.in_own_terms(manifest.ood).architecture.stems == (1,)
    assert manifest.in_own_terms(manifest.ood).architecture.stems == (2,)


def test_regions_are_calibrated_and_measured_each_for_itself(tmp_path: Path) -> None:
    dataset = written_dataset(tmp_path / "Dataset900_Tiny", {**REGIONS, "channel_names": {"0": "T1"}})
    path = imported(tmp_path, dataset=REGIONS)
    before = open_predictor(path, "cpu")
    held_out = ["a0", "a1", "a2"]
    assert cli.main(["reference", "-m", str(path), "--data", str(dataset), "--held-out", *held_out]) == 0
    after = open_predictor(path, "cpu")
    (task,) = after.manifest.tasks
    assert task.held_out_cases == 3
    assert task.calibration["ece"] < task.calibration["ece_uncalibrated"]
    members = {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    dice: dict[str, list[float]] = {name: [] for name in members}
    for name in held_out:
        found = before.segment(read_image(dataset / "imagesTr" / f"{name}_0000.nii.gz"))
        stored = sitk.GetArrayFromImage(sitk.ReadImage(dataset / "labelsTr" / f"{name}.nii.gz"))
        assert found.regions is not None
        for label, region in zip(task.labels, found.regions, strict=True):
            truth = np.isin(stored, members[label.name])
            dice[label.name].append(2 * (truth & region).sum() / (truth.sum() + region.sum()))
    assert task.held_out_dice == pytest.approx({name: np.mean(values) for name, values in dice.items()})
    now = after.segment(found.volume)
    assert now.regions is not None
    np.testing.assert_array_equal(now.regions, found.regions)
    assert now.uncertainty.mean() > found.uncertainty.mean()
