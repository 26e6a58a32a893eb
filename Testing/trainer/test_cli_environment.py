"""What the trainer's command line meets: shells that expand no patterns, installations without the extras."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from Testing.runtime.imported.imported_models import imported
from trainer import cli
from trainer.cli_environment import EXTRA_OF


@pytest.mark.parametrize("module", ["yaml", "matplotlib"])
def test_a_training_without_the_extras_is_asked_for_in_words(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*_arguments: object, **_options: object) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=f"{module}.pyplot")

    monkeypatch.setattr("trainer.training.train_model.train_model", lacking)
    assert cli.main(["train", "--data", str(tmp_path), "-o", str(tmp_path / "m.mts.safetensors")]) == 2
    told = capsys.readouterr().err
    assert f"needs the package {module}" in told
    assert '".[trainer]"' in told


def test_a_settings_file_in_yaml_without_yaml_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    arguments = ["train", "--data", str(tmp_path), "-o", str(tmp_path / "m"), "--config", str(tmp_path / "c.yaml")]
    assert cli.main(arguments) == 2
    assert "needs the package yaml" in capsys.readouterr().err


def test_a_module_of_the_program_that_is_missing_is_a_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ModuleNotFoundError("No module named 'trainer.gone'", name="trainer.gone")

    monkeypatch.setattr("trainer.verification.verify.run_verify", broken)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["verify", str(tmp_path)])


def test_every_optional_package_belongs_to_an_extra_that_there_is(repository: Path) -> None:
    project = (repository / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in project for extra in EXTRA_OF.values())


def test_folders_are_found_by_a_pattern_that_the_shell_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr("trainer.verification.verify.run_verify", lambda folders, _tell: seen.extend(folders) or 0)
    for name in ("Dataset002_B", "Dataset001_A"):
        (tmp_path / name).mkdir()
    assert cli.main(["verify", str(tmp_path / "Dataset*")]) == 0
    assert [path.name for path in seen] == ["Dataset001_A", "Dataset002_B"]
    assert cli.main(["verify", str(tmp_path / "nothing*")]) == 2
    assert "nothing matches the pattern" in capsys.readouterr().err


def test_models_are_known_by_their_names_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    path = imported(tmp_path).rename(tmp_path / "models" / "tumour.mts.safetensors")
    before = path.read_bytes()
    # The model is found, the dataset is not.
    assert cli.main(["reference", "-m", "tumour", "--data", str(tmp_path / "absent")]) == 4
    assert "absent" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert cli.main(["reference", "-m", "nobody", "--data", str(tmp_path / "absent")]) == 4
    assert "nobody" in capsys.readouterr().err


def test_a_released_model_is_not_replaced_by_one_that_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imported(tmp_path)
    monkeypatch.setattr("MultiTaskSegLib.runtime.model.released.released_models", lambda: [path])
    for command in ("reference", "calibrate", "describe"):
        assert cli.main([command, "-m", str(path), "--data", str(tmp_path)]) == 2
        assert "a released model is not replaced" in capsys.readouterr().err
