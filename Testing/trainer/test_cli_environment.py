"""What the trainer's command line meets: shells that expand no patterns, installations without the extras."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.runtime.imported.imported_models import imported
from trainer import cli
from trainer.cli_environment import EXTRA_OF, find_models, require_not_released


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


@pytest.mark.parametrize(
    "words",
    [
        ["reference", "-m", "OTHER"],
        ["calibrate", "-m", "OTHER"],
        ["describe", "-m", "OTHER"],
        ["train"],
        ["pretrain", "--task", "segmentation"],
        ["finetune", "-m", "OTHER"],
        ["two-stage"],
        ["import-nnunet", "FOLDER", "--licence", "x", "--overwrite"],
    ],
    ids=lambda words: words[0],
)
def test_no_command_writes_over_a_released_model(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imported(tmp_path)
    before = path.read_bytes()
    other = tmp_path / "other.mts.safetensors"
    other.write_bytes(before)
    monkeypatch.setattr("MultiTaskSegLib.runtime.model.released.released_models", lambda: [path])
    said = [{"OTHER": str(other), "FOLDER": str(tmp_path)}.get(word, word) for word in words]
    data = [] if words[0] == "import-nnunet" else ["--data", str(tmp_path)]
    assert cli.main([*said, *data, "-o", str(tmp_path / "." / path.name)]) == 2
    assert "a released model is not replaced" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_released_model_is_known_by_the_file_and_not_by_how_its_name_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = imported(tmp_path)
    monkeypatch.setattr("MultiTaskSegLib.runtime.model.released.released_models", lambda: [path, tmp_path / "gone"])
    # As two spellings are on a file system that takes capital letters for small ones.
    (other := tmp_path / path.name.upper()).hardlink_to(path)
    with pytest.raises(UsageError, match="a released model is not replaced"):
        require_not_released(other)
    require_not_released(tmp_path / "new.mts.safetensors")


@pytest.mark.parametrize("command", ["reference", "calibrate", "describe"])
def test_a_file_of_another_kind_is_not_replaced_by_a_model(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = imported(tmp_path), tmp_path / "image.nii.gz"
    image.write_text("an image")
    assert cli.main([command, "-m", str(model), "--data", str(tmp_path), "-o", str(image)]) == 2
    assert "does not end in .mts.safetensors" in capsys.readouterr().err
    assert image.read_text() == "an image"


def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(imported(tmp_path))
    monkeypatch.setattr("trainer.refitting.new_reference.fit_new_reference", pytest.fail)
    (tmp_path / "folder.mts.safetensors").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("folder.mts.safetensors", "file/a.mts.safetensors"):
        assert cli.main(["reference", "-m", model, "--data", str(tmp_path), "-o", str(tmp_path / name)]) == 4
        assert "in the place of" in capsys.readouterr().err

    def barred(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("MultiTaskSegLib.runtime.machine.atomic_file.tempfile.TemporaryFile", barred)
    out = tmp_path / "new" / "a.mts.safetensors"
    assert cli.main(["reference", "-m", model, "--data", str(tmp_path), "-o", str(out)]) == 4
    assert "cannot write (Permission denied)" in capsys.readouterr().err
    assert not out.parent.exists()


def test_further_models_are_known_by_their_names_in_the_list_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    path = imported(tmp_path).rename(tmp_path / "models" / "tumour.mts.safetensors")
    options = argparse.Namespace(model=Path("tumour"), ensemble=[Path("tumour")], models=[Path("tumour"), tmp_path])
    options.start = Path("tumour")
    find_models(options)
    assert (options.model, options.ensemble, options.models) == (path, [path], [path, tmp_path])
    assert options.start == path, "of average"


@pytest.mark.parametrize("processes, code", [("2", 2), ("1", 4)])
def test_several_processes_for_a_command_that_they_cannot_share_are_refused_before_it_begins(
    processes: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"RANK": "0", "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["verify", str(tmp_path / "nothing")]) == code
    assert ("torchrun is for 'train'" in capsys.readouterr().err) == (processes != "1")


def test_train_is_the_only_command_that_several_processes_share() -> None:
    commands = next(a for a in cli.make_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert [name for name, own in commands.items() if own.get_default("several_processes")] == ["train"]
