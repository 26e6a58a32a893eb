"""Files of a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ResourceError
from trainer.report.run_folder import RunFolder, write_json_file


def test_what_could_not_be_measured_is_null_which_every_reader_understands(tmp_path: Path) -> None:
    nan = float("nan")
    write_json_file(tmp_path / "m.json", {"a": nan, "b": [1.5, nan], "c": {"d": (nan,)}, "e": None})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text) == {"a": None, "b": [1.5, None], "c": {"d": [None]}, "e": None}


def test_the_run_folder_lies_beside_the_model_and_has_its_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "brain.mts.safetensors")
    assert folder.path == tmp_path / "deep" / "brain.run"
    assert folder.path.is_dir()


def test_records_are_appended_line_by_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "m.mts.safetensors")
    folder.append({"step": 1, "loss": 0.5})
    RunFolder(tmp_path / "m.mts.safetensors").append({"step": 2, "loss": 0.25})
    lines = folder.steps.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **words: object) -> None:
        raise OSError(28, "No space left on device")

    folder = RunFolder(tmp_path / "m.mts.safetensors")
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError, match=r"No space left on device\): .*metrics\.jsonl.*--resume"):
        folder.append({"step": 1})
