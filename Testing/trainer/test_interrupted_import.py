"""An import that is interrupted, or has no room, leaves no half file; one that is there is not replaced unasked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.model import data_file
from Testing.runtime.imported.imported_models import results_folder
from trainer import cli

NAME = "model.mts.safetensors"
# Stops in the middle of writing and waits to be ended.
SLOW = """
import sys, time
from MultiTaskSegLib.runtime.model import data_file
def half(tensors, path, metadata):
    path.write_bytes(b"half a file")
    print("writing", flush=True)
    time.sleep(60)
data_file.save_file = half
from trainer import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def words(tmp_path: Path) -> list[str]:
    folder = results_folder(tmp_path / "results")
    (tmp_path / "models").mkdir()
    return ["import-nnunet", str(folder), "-o", str(tmp_path / "models" / NAME), "--licence", "CC0"]


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "models").iterdir())


def ended_while_it_writes(command: list[str], by: signal.Signals) -> int:
    process = subprocess.Popen([sys.executable, "-c", SLOW, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(by)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that ask a process to end")
def test_asked_to_end_it_leaves_nothing_and_killed_what_the_next_import_removes(tmp_path: Path) -> None:
    command = words(tmp_path)
    assert ended_while_it_writes(command, signal.SIGTERM) == 130
    assert left(tmp_path) == []
    assert ended_while_it_writes(command, signal.SIGKILL) == -signal.SIGKILL
    assert NAME not in left(tmp_path)
    assert cli.main(command) == 0
    assert left(tmp_path) == [NAME]


def test_without_room_on_the_disk_one_line_says_so_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        """What the library raises where the system refuses."""
        path.write_bytes(b"half a file")
        raise data_file.SafetensorError("I/O error: No space left on device (os error 28)")

    command = words(tmp_path)
    monkeypatch.setattr(data_file, "save_file", full)
    assert cli.main(command) == 4
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert left(tmp_path) == []


def test_a_model_file_that_is_there_is_replaced_only_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words(tmp_path)
    there = tmp_path / "models" / NAME
    there.write_bytes(b"somebody's work")
    assert cli.main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert there.read_bytes() == b"somebody's work"
    assert cli.main([*command, "--overwrite"]) == 0
    assert load_imported(there).manifest.name == "model"
