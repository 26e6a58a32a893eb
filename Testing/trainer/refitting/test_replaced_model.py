"""A model file that another one replaces while a command looks at images: nothing is said of weights never seen."""

from __future__ import annotations

import importlib
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data import dataset
from trainer.refitting import spectral_refit
from trainer.refitting.spectral_refit import refit_reference
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), label_values=(2,))
OTHER = BallDataset("Dataset009_Other", shape=(8, 10, 10), patients=2, person="other")
COMMANDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "quality": ("trainer.refitting.quality_refit", "refit_quality", {"faults": 0, "stream": io.StringIO()}),
    "calibrate": ("trainer.refitting.recalibration", "refit_calibration", {"stream": io.StringIO()}),
    "limits": ("trainer.refitting.limit_refit", "refit_limits", {"stream": io.StringIO()}),
    "reference": ("trainer.refitting.spectral_refit", "refit_reference", {"stream": io.StringIO()}),
    "describe": ("trainer.refitting.description", "describe", {}),
    "precision": (
        "trainer.precision.measured_precision",
        "measure_precisions",
        {"precisions": ["bfloat16"], "artefact_cases": 0, "stream": io.StringIO()},
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [dataset.write(tmp_path_factory.mktemp("data")) for dataset in (BALLS, OTHER)]


@pytest.fixture(scope="module")
def trained(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    train_model(folders[:1], path, CONFIG, Budget(steps=10), stream=io.StringIO())
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_a_file_that_has_changed_since_it_was_read(
    command: str, trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_name, function, arguments = COMMANDS[command]
    module = importlib.import_module(module_name)
    path, later = tmp_path / "balls.mts.safetensors", tmp_path / "later.mts.safetensors"
    rewrite_manifest(trained, replace(read_manifest(trained)[0], intended_use="another"), later)
    shutil.copy(trained, path)
    _replace_when_datasets_are_read(module, path, later, monkeypatch)
    work: Callable[..., object] = getattr(module, function)
    with pytest.raises(ModelError, match="another model has taken the place"):
        work(path, folders, path, **arguments)
    assert path.read_bytes() == later.read_bytes()


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_not_replace_what_was_written_to_its_output_meanwhile(
    command: str, is_new: bool, trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_name, function, arguments = COMMANDS[command]
    module = importlib.import_module(module_name)
    output, later = tmp_path / "output.mts.safetensors", tmp_path / "later.mts.safetensors"
    rewrite_manifest(trained, replace(read_manifest(trained)[0], intended_use="another"), later)
    if not is_new:
        shutil.copy(trained, output)
    _replace_when_datasets_are_read(module, output, later, monkeypatch)
    with pytest.raises(ModelError, match="another model has taken the place"):
        vars(module)[function](trained, folders, output, **arguments)
    assert output.read_bytes() == later.read_bytes()


def test_a_file_that_lay_at_the_output_before_is_replaced(trained: Path, folders: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "output.mts.safetensors"
    output.write_text("anything", encoding="utf-8")
    refit_reference(trained, folders, output, stream=io.StringIO())
    assert read_manifest(output)[0].training["refitted_from"] == [read_manifest(trained)[1]]


def test_a_reference_is_written_where_the_model_has_gone_meanwhile(
    trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "balls.mts.safetensors"
    shutil.copy(trained, path)

    def read_datasets(*arguments: Any, **named: Any) -> Any:
        """The model was read before."""
        path.unlink()
        return vars(dataset)["read_datasets"](*arguments, **named)

    monkeypatch.setattr(spectral_refit, "read_datasets", read_datasets)
    refit_reference(path, folders, path, stream=io.StringIO())
    assert read_manifest(path)[0].training["refitted_from"] == [read_manifest(trained)[1]]


def test_a_model_that_came_to_lie_behind_another_name_of_the_output_is_not_replaced(
    trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "balls.mts.safetensors", tmp_path / "link.mts.safetensors"
    shutil.copy(trained, path)
    link.symlink_to(path)

    def read_datasets(*arguments: Any, **named: Any) -> Any:
        """The model was read before."""
        link.unlink()
        link.symlink_to(trained)
        path.write_text("another", encoding="utf-8")
        return vars(dataset)["read_datasets"](*arguments, **named)

    monkeypatch.setattr(spectral_refit, "read_datasets", read_datasets)
    with pytest.raises(ModelError, match="another model has taken the place"):
        refit_reference(link, folders, path, stream=io.StringIO())
    assert path.read_text(encoding="utf-8") == "another"


def _replace_when_datasets_are_read(module: ModuleType, path: Path, by: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = vars(module)["read_datasets"]

    def read_datasets(*arguments: Any, **named: Any) -> Any:
        """The model was read before."""
        shutil.copy(by, path)
        return plain(*arguments, **named)

    monkeypatch.setattr(module, "read_datasets", read_datasets)
