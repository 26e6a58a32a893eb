"""Patients whom a refit was fitted to are known to the model file afterwards, and can make no figure look kept back."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.provenance import KEY, Provenance
from trainer.refitting.limit_refit import refit_limits
from trainer.refitting.quality_refit import refit_quality
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import refit_reference
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12))
NEW = ("patient_6", "patient_7")
Refit = Callable[..., object]
REFITS: dict[str, Refit] = {
    "quality": refit_quality,
    "calibrate": refit_calibration,
    "reference": refit_reference,
    "limits": refit_limits,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    data = BALLS.write(tmp_path_factory.mktemp("data"))
    train_model([data], path, CONFIG, Budget(steps=4), stream=io.StringIO())
    return path


def record(path: Path) -> Provenance:
    return Provenance.of(read_manifest(path)[0])


@pytest.mark.parametrize("name", REFITS)
def test_new_patients_of_a_refit_are_known_afterwards(name: str, model: Path, tmp_path: Path) -> None:
    more = replace(BALLS, patients=8).write(tmp_path)
    assert [record(model).knows(patient) for patient in NEW] == [False, False]
    REFITS[name](model, [more], tmp_path / "new.mts.safetensors", stream=io.StringIO())
    after = record(tmp_path / "new.mts.safetensors")
    assert [after.knows(patient) for patient in NEW] == [True, True]
    assert not any(after.saw(patient) for patient in NEW)


@pytest.mark.parametrize("name", REFITS)
def test_with_the_patients_of_the_training_the_record_stays_as_it_was(name: str, model: Path, tmp_path: Path) -> None:
    REFITS[name](model, [BALLS.write(tmp_path)], tmp_path / "new.mts.safetensors", stream=io.StringIO())
    before, after = (read_manifest(path)[0].training[KEY] for path in (model, tmp_path / "new.mts.safetensors"))
    assert after == before
