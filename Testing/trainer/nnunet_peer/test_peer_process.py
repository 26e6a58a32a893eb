"""Asking a Python for nnU-Net, and having it do something: what is refused at once, and how a crash is told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from Testing.trainer.nnunet_peer import stand_in_nnunet
from trainer.nnunet_peer import peer_process
from trainer.nnunet_peer.peer_process import installed_version, run_program


def test_a_python_with_nnunet_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(stand_in_nnunet.install(tmp_path)))
    assert installed_version("") == stand_in_nnunet.VERSION
    assert installed_version(sys.executable) == stand_in_nnunet.VERSION


@pytest.mark.parametrize("python", ["no_such_python", "."])
def test_a_python_that_cannot_be_run_is_refused_with_what_to_do(python: str) -> None:
    with pytest.raises(UsageError, match=r"Python for nnU-Net cannot be run.*pip install nnunetv2.*multi_task\.nnunet"):
        installed_version(python)


def test_a_python_without_nnunet_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_process, "ASK_VERSION", peer_process.ASK_VERSION.replace("nnunetv2", "no-such-library"))
    with pytest.raises(UsageError, match=r"nnunetv2 is not installed.*pip install nnunetv2.*multi_task\.nnunet"):
        installed_version("")


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this text run in place of the program."""
    folder.mkdir()
    path = folder.with_suffix(".py")
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(peer_process, "PROGRAM", path)


def test_a_crash_is_told_with_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "own", "print('began')\nraise ValueError('no room in the inn')", monkeypatch)
    with pytest.raises(ModelError, match=r"nnU-Net ended with status 1: .*ValueError: no room in the inn\. See log"):
        run_program("", tmp_path / "own", {"threads": 1})


def test_of_a_program_that_is_killed_what_it_said_before_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "own", "import os\nprint('began')\nos._exit(9)", monkeypatch)
    with pytest.raises(ModelError, match=r"nnU-Net ended with status 9: began\. See log"):
        run_program("", tmp_path / "own", {"threads": 1})


def test_nnunet_compiles_nothing_and_writes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import os, json, sys\njson.dump({k: v for k, v in os.environ.items()}, open(sys.argv[1] + '.seen', 'w'))"
    program(tmp_path / "own", text, monkeypatch)
    run_program("", tmp_path / "own", {"threads": 3})
    seen = (tmp_path / "own" / "request.json.seen").read_text(encoding="utf-8")
    for name, value in {"nnUNet_compile": "f", "OMP_NUM_THREADS": "3"}.items():
        assert f'"{name}": "{value}"' in seen
    for name in ("raw", "preprocessed", "results"):
        assert str(tmp_path / "own" / name).replace("\\", "\\\\") in seen


def test_the_program_ends_when_whoever_started_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(stand_in_nnunet.install(tmp_path / "library")))
    monkeypatch.setenv("STAND_IN", "hang")
    for name in stand_in_nnunet.ENVIRONMENT:
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "request.json").write_text('{"threads": 1, "number": 1}', encoding="utf-8")
    command = [sys.executable, str(peer_process.PROGRAM), str(tmp_path / "request.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        while not (tmp_path / stand_in_nnunet.HANGS).exists():
            assert process.poll() is None
            time.sleep(0.05)
        assert process.stdin is not None
        process.stdin.close()
        try:
            assert process.wait(timeout=20) == 3
        finally:
            process.kill()
