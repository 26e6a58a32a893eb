"""What no model file could hold is refused before the training, not after it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Generation, Provenance
from trainer.report.run_folder import RunFolder
from trainer.training import train_model as whole
from trainer.training.train_model import train_model, train_prepared
from trainer.training.training import Budget, prepare_data

CONFIG = TrainingConfig(
    channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=256, workers=0, warmup_steps=1,
    validations=0, minimum_validation_groups=1, threads=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*arguments: Any, **words: Any) -> None:
        raise AssertionError("the training has begun")

    monkeypatch.setattr(whole, "_expected", begun)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return BallDataset("A", shape=(2, 8, 8), patients=3).write(tmp_path)


@pytest.mark.parametrize(
    "change, words",
    [({"licence": "CC\x07BY"}, "licence"), ({"labels": {"background": 0, "left\x1bside": 1}}, "labels")],
)
def test_texts_that_are_none(folder: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=rf"no model file could describe the result \(.*{words}"):
        train_model([folder], tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=1), stream=io.StringIO())


def test_more_patients_than_a_header_holds(folder: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "m.mts.safetensors")
    data = prepare_data([read_dataset(folder)], CONFIG, run, io.StringIO())
    many = Generation("old", "00" * 8, {"A": tuple(f"{n:016x}" for n in range(45_000))})
    with pytest.raises(DatasetError, match="could not hold whom it has seen"):
        train_prepared(
            data, tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=1), ancestors=Provenance((many,)),
            stream=io.StringIO(),
        )  # fmt: skip
