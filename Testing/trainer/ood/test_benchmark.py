"""The benchmark from folders to figures on images that are unlike those of their own task."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.seen_groups import trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset, read_datasets
from trainer.data.provenance import unseen
from trainer.layout.case import Case
from trainer.ood.benchmark import BenchmarkSettings, measure, run_benchmark
from trainer.ood.feature_store import Repeats
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    channels=(3, 4), patch_voxels=512, workers=0, threads=1, validations=0, minimum_validation_groups=2,
    ood_layers=("encoder0",),
)  # fmt: skip
THIN = BallDataset("Dataset001_Thin", shape=(6, 12, 12))
THICK = BallDataset("Dataset002_Thick", (1.0, 1.0, 5.0), (6, 12, 12), contrast=-80.0)


def test_a_held_out_scan_that_fits_another_task_s_profile_is_measured_as_its_own_task_s_too(tmp_path: Path) -> None:
    """Such as a patient who was scanned with thin slices among those with thick ones."""
    folders = [THIN.write(tmp_path), THICK.write(tmp_path)]
    manifest = train_model(folders, tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=1), stream=io.StringIO())
    assert len({task.profile for task in manifest.tasks}) == 2
    odd = unseen(read_dataset(folders[1]), manifest)[0]
    image = sitk.ReadImage(str(odd.image))
    image.SetSpacing((1.0, 1.0, 1.1))
    sitk.WriteImage(image, str(odd.image))
    (tmp_path / "foreign").mkdir()
    noise = np.random.default_rng(0).normal(size=(6, 12, 12)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(tmp_path / "foreign" / "a.nii.gz"))
    settings = BenchmarkSettings(families=("real",), untrained=False)
    out = tmp_path / "out"
    found = run_benchmark(
        [tmp_path / "m.mts.safetensors"], folders, [tmp_path / "foreign"], out, settings, stream=io.StringIO()
    )["models"][0]
    assert found["shipped"]["known_images"] == 4
    facts = [json.loads(path.read_text()) for path in (out / "features").rglob("known-*.json")]
    # Recognised under the other profile alone, as the shipped check would look at it; known under its own.
    assert sorted((own["attempts"], own["own"]) for own in facts) == [(1, 0), (1, 0), (1, 0), (1, 1)]
    refuses_members_and_images_that_are_known(tmp_path, folders, odd, settings)


def refuses_members_and_images_that_are_known(
    parent: Path, folders: list[Path], odd: Case, settings: BenchmarkSettings
) -> None:
    """Before anything is measured."""
    predictor = Predictor.load(parent / "m.mts.safetensors")
    datasets = read_datasets(folders)

    def measured(member: Any) -> None:
        measure(predictor, datasets, [parent / "foreign"], parent / "none", settings, Repeats(ensemble=[member]))

    # A member that was divided in another way has learnt from somebody who is held out for the first.
    seen = SimpleNamespace(name="other", training=trained_on({"Dataset002_Thick": {odd.group}}), tasks=[])
    with pytest.raises(ModelError, match=f"model 'other' has seen patients whom it is to be measured on .{odd.name}"):
        measured(SimpleNamespace(manifest=seen))
    shutil.copy(odd.image, parent / "foreign" / "b.nii.gz")
    with pytest.raises(DatasetError, match=f"a foreign image is image {odd.name} of dataset Dataset002_Thick"):
        measured(predictor)
    assert not list((parent / "none").rglob("*.json"))
