"""The list of models: released ones and the user's own, from headers only, none hidden by another."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import Cancelled, ModelError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from MultiTaskSegLib.runtime.model.model_folder import add_model_file, free_file, model_folder, user_models
from MultiTaskSegLib.runtime.model.model_list import ListedModel, listed_models
from MultiTaskSegLib.runtime.model.released import named_model, released_models
from Testing.runtime.model.header_file import manifest, task_entry, write_header_file

HOME = {"HOME": "/people/ann"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models."""
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        (HOME, "linux", "/people/ann/.local/share/MultiTaskSeg/models"),
        ({**HOME, "XDG_DATA_HOME": "/data"}, "linux", "/data/MultiTaskSeg/models"),
        ({**HOME, "XDG_DATA_HOME": "data"}, "linux", "/people/ann/.local/share/MultiTaskSeg/models"),
        (HOME, "darwin", "/people/ann/Library/Application Support/MultiTaskSeg/models"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/MultiTaskSeg/models"),
        ({**HOME, "MULTITASKSEG_MODELS": "/elsewhere"}, "darwin", "/elsewhere"),
    ],
)
def test_the_users_models_lie_where_each_system_keeps_data(
    environment: dict[str, str], platform: str, expected: str
) -> None:
    assert model_folder(environment, platform).as_posix().endswith(expected)


def test_the_list_has_the_released_models_and_the_users_own(folder: Path) -> None:
    assert [entry.name for entry in listed_models()] == [
        "mr3d",
        "planar2d",
        "head_brain",
    ]  # without a folder of the user
    write_header_file(folder / "balls.mts.safetensors", manifest())
    assert [(entry.name, entry.is_released) for entry in listed_models()] == [
        ("mr3d", True),
        ("planar2d", True),
        ("head_brain", True),
        ("balls", False),
    ]


def test_an_entry_says_what_its_header_says(folder: Path) -> None:
    tasks = (task_entry(inputs=["T1", "FLAIR"]), task_entry("Other", modality="CT", licence="CC BY-NC 4.0"))
    path = write_header_file(folder / "two.mts.safetensors", manifest(*tasks, ood=None))
    (entry,) = listed_models()[3:]
    assert entry.segments() == "Dataset001_Balls, Other"
    assert entry.modalities == ("T1", "CT")
    assert entry.channel_text() == "T1 + FLAIR; 1"
    assert entry.licence == "CC BY-NC 4.0"
    assert entry.size_bytes == path.stat().st_size
    assert (entry.is_checked, entry.is_planar, entry.problem) == (False, False, "")


@pytest.mark.parametrize(
    ("profiles", "is_planar"),
    [
        ([{"grid": "fit"}], True),
        ([{"grid": "fit"}, {"grid": "fit"}], True),
        ([{"grid": "fit"}, {"grid": "spacing"}], False),
        ([None], False),
        ([{"grid": "fit"}, None], False),
    ],
)
def test_a_model_is_for_pictures_where_all_its_tasks_say_so(
    folder: Path, profiles: list[dict[str, str] | None], is_planar: bool
) -> None:
    tasks = [task_entry(f"T{number}", profile=profile) for number, profile in enumerate(profiles)]
    write_header_file(folder / "own.mts.safetensors", manifest(*tasks))
    entry = listed_models()[3]
    assert (entry.problem, entry.is_planar) == ("", is_planar)


def test_a_model_of_one_task_names_its_structures(folder: Path) -> None:
    write_header_file(folder / "one.mts.safetensors", manifest())
    entry = listed_models()[3]
    assert entry.segments() == "Dataset001_Balls: round ball"
    assert entry.segments(short=True) == "round ball"
    assert entry.is_checked


DAMAGES = {
    "cut off": lambda path: write_header_file(path, manifest(), tensor_bytes=10),
    "no model": lambda path: path.write_bytes(b"\xff" * 500),
    "model file is cut off": lambda path: path.write_bytes(write_header_file(path, manifest()).read_bytes()[:60]),
    "this is no model of MultiTaskSeg": lambda path: write_header_file(path, [1, 2]),
    "is no model of MultiTaskSeg": lambda path: write_header_file(path, manifest(tasks=7)),
    "no model of": lambda path: write_header_file(path, manifest({"modality": "no name"})),
    "model of MultiTaskSeg": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_damaged_file_is_listed_with_the_reason_and_hides_no_other(folder: Path, reason: str) -> None:
    folder.mkdir()
    DAMAGES[reason](folder / "bad.mts.safetensors")
    write_header_file(folder / "good.mts.safetensors", manifest())
    entries = {entry.name: entry for entry in listed_models()}
    assert reason in entries["bad"].problem
    assert [name for name, entry in entries.items() if not entry.problem] == ["mr3d", "planar2d", "head_brain", "good"]


def test_a_folder_that_cannot_be_read_does_not_hide_the_released_models(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    entries = listed_models()
    assert [entry.problem for entry in entries[:3]] == ["", "", ""]
    assert "cannot be read (Permission denied)" in entries[3].problem


def test_names_are_unique_whatever_the_files_are_called(folder: Path) -> None:
    for name in ("mr3d.mts.safetensors", "a.safetensors", "a.mts.safetensors", ".mts-partial-x.safetensors"):
        write_header_file(folder / name, manifest())
    write_header_file(folder / "a.txt", manifest())
    names = [entry.name for entry in listed_models()]
    assert names == ["mr3d", "planar2d", "head_brain", "a", "a_2", "mr3d_2"]
    assert named_model("mr3d_2") == folder / "mr3d.mts.safetensors"
    assert named_model("mr3d") == released_models()[0]


def test_a_name_of_the_list_chooses_a_model_and_a_path_stays_a_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = write_header_file(folder / "balls.mts.safetensors", manifest())
    assert named_model("balls") == named_model("balls.mts.safetensors") == own
    assert named_model("nobody") == Path("nobody")
    assert named_model("./balls") == Path("balls")  # not there, and not taken for a name
    Path("balls").write_text("a file of that name comes first")
    assert named_model("balls") == Path("balls")


def test_texts_out_of_a_file_cannot_move_the_cursor_of_a_terminal(folder: Path) -> None:
    write_header_file(folder / "bad\u202e.mts.safetensors", manifest(task_entry("\x1b[2J" + "x" * 9999)))
    lines = "".join(listed_models()[3].lines()[1:4])
    assert lines.isprintable()
    assert len(lines) < 1000


def test_the_command_lists_all_models_without_loading_torch(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_header_file(folder / "balls.mts.safetensors", manifest())
    write_header_file(folder / "bad.mts.safetensors", manifest(), tensor_bytes=1)
    program = (
        "import sys; from MultiTaskSegLib.runtime.cli import main; main(['models']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for words in ("mr3d (released", "balls (your own", "cannot be used: the model file is cut off", str(folder)):
        assert words in done.stdout
    assert cli.main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["problem"] is None) for entry in listed] == [
        ("mr3d", True),
        ("planar2d", True),
        ("head_brain", True),
        ("bad", False),
        ("balls", True),
    ]


def test_a_file_whose_header_changes_is_read_again(folder: Path) -> None:
    path = write_header_file(folder / "a.mts.safetensors", manifest())
    assert header_manifest(path)["name"] == "made"
    write_header_file(path, manifest(name="made again"))
    assert header_manifest(path)["name"] == "made again"


def test_a_model_file_is_copied_whole_under_a_free_name(folder: Path, tmp_path: Path) -> None:
    source = write_header_file(tmp_path / "planar2d.safetensors", manifest())
    shares: list[float] = []
    path = add_model_file(source, folder, ("mr3d", "planar2d"), shares.append)
    assert path == folder / "planar2d_2.mts.safetensors"
    assert path.read_bytes() == source.read_bytes()
    assert shares[-1] == 1.0
    assert add_model_file(path, folder) == path  # it is there already


def test_what_is_no_model_or_no_longer_wanted_is_not_copied(folder: Path, tmp_path: Path) -> None:
    source = write_header_file(tmp_path / "whole.mts.safetensors", manifest())
    with pytest.raises(Cancelled):
        add_model_file(source, folder, is_unwanted=lambda: True)
    with pytest.raises(ModelError, match="cut off"):
        add_model_file(write_header_file(source, manifest(), tensor_bytes=3), folder)
    assert list(folder.glob("*")) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/b:c", "a_b_c"), ("  ", "model"), ("..", "model"), ("heart\n", "heart_"), ("mr3d", "mr3d_2")],
)
def test_a_name_becomes_a_file_name_on_every_system(folder: Path, name: str, file: str) -> None:
    assert free_file(folder, name, ("mr3d",)) == folder / f"{file}.mts.safetensors"


def test_a_folder_that_is_not_there_has_no_models(tmp_path: Path) -> None:
    assert user_models(tmp_path / "none") == {}


def test_the_folder_of_a_user_who_is_not_there_is_told_in_words_and_hides_no_released_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTITASKSEG_MODELS", "~nobody-of-that-name/models")
    *released, own = listed_models()
    assert [entry.name for entry in released] == ["mr3d", "planar2d", "head_brain"]
    assert "a user who is not there" in own.problem
    assert own.path == Path("~nobody-of-that-name/models")


def test_a_folder_that_cannot_be_read_is_listed_by_its_name_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def barred(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", barred)
    own = listed_models()[3]
    assert "cannot be read (Permission denied)" in own.problem
    assert own == ListedModel("", folder, False, 0, (), False, "", "", False, own.problem, False)
    assert own.as_dict()["file"] == str(folder)


def test_a_system_without_a_folder_of_the_user_hides_no_released_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("MULTITASKSEG_MODELS", "HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    *released, own = listed_models()
    assert [entry.name for entry in released] == ["mr3d", "planar2d", "head_brain"]
    assert (own.name, own.path) == ("", Path())
    assert "names no folder of the user" in own.problem


@pytest.mark.parametrize("end", ["Infinity", "1e999", "NaN"])
def test_a_header_with_numbers_beyond_measure_hides_no_other_model(folder: Path, end: str) -> None:
    folder.mkdir()
    described = json.dumps({"__metadata__": {"manifest": json.dumps(manifest())}})
    header = f'{described[:-1]}, "a": {{"data_offsets": [0, {end}]}}}}'.encode()
    (folder / "beyond.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (entry,) = listed_models()[3:]
    assert entry.problem == "this is no model of MultiTaskSeg"


def test_a_link_that_leads_nowhere_is_listed_with_the_reason(folder: Path) -> None:
    write_header_file(folder / "balls.mts.safetensors", manifest())
    (folder / "gone.mts.safetensors").symlink_to(folder / "elsewhere")
    assert [(entry.name, bool(entry.problem)) for entry in listed_models()[3:]] == [("balls", False), ("gone", True)]


def test_a_link_into_a_barred_folder_hides_no_other_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_header_file(folder / "balls.mts.safetensors", manifest())
    write_header_file(folder / "barred.mts.safetensors", manifest())
    status = Path.stat

    def barred(path: Path, **options: bool) -> os.stat_result:
        if path.name.startswith("barred"):
            raise PermissionError(13, "Permission denied")
        return status(path, **options)

    monkeypatch.setattr(Path, "stat", barred)
    assert [(entry.name, bool(entry.problem)) for entry in listed_models()[3:]] == [("balls", False), ("barred", True)]


@pytest.mark.parametrize("letter", ["x", "ü", "髄"])
def test_a_name_of_any_length_becomes_a_file_that_systems_take(folder: Path, letter: str) -> None:
    path = free_file(folder, letter * 300)
    assert path.name.startswith(letter * 60)
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"")
    assert free_file(folder, letter * 300) != path
