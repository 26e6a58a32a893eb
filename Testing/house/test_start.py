"""The script that sets up the environment: when it installs, and what it says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import start


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the two files that decide about an installation."""
    (tmp_path / "pyproject.toml").write_text("a")
    (tmp_path / "constraints.txt").write_text("b")
    return tmp_path


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_either_file_asks_for_a_new_installation(checkout: Path, name: str):
    before = start.fingerprint(checkout)
    assert start.fingerprint(checkout) == before
    (checkout / name).write_text("changed")
    assert start.fingerprint(checkout) != before


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment as far as the script looks: an interpreter that starts."""
    folder = tmp_path / "environment"
    make_interpreter(folder, sys.executable)
    return folder


def make_interpreter(folder: Path, target: str) -> None:
    """A script in the place of the environment's Python that starts ``target``."""
    python = start.environment_python(folder)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{target}" "$@"\n')
    python.chmod(0o755)


needs_shell = pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")


@needs_shell
def test_a_finished_installation_is_remembered(environment: Path):
    stamp = environment / start.STAMP.name
    start.write_stamp(stamp, "expected", {"trainer", "dev"})
    assert start.installed_extras(stamp, "expected") == {"trainer", "dev"}
    assert start.installed_extras(stamp, "another") == set()
    assert start.is_usable(environment)
    assert not list(environment.glob("*.part"))


@needs_shell
@pytest.mark.parametrize("fault", ["moved", "another Python", "emptied", "interpreter gone"])
def test_an_environment_that_broke_is_noticed_and_made_anew(
    environment: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
):
    start.write_stamp(environment / start.STAMP.name, "expected", {"dev"})
    if fault == "moved":
        environment = environment.rename(tmp_path / "moved")
    elif fault == "another Python":
        stamp = environment / start.STAMP.name
        stamp.write_text(stamp.read_text().replace(start.platform.python_version(), "3.11.99"))
    elif fault == "emptied":
        for path in sorted(environment.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    else:
        make_interpreter(environment, str(tmp_path / "python that was upgraded"))
    assert start.installed_extras(environment / start.STAMP.name, "expected") == set()
    assert not start.is_usable(environment)
    commands: list[list[str]] = []

    def made(command: list[str], **_options: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(start, "is_usable", lambda _: False)
    monkeypatch.setattr(start.subprocess, "run", made)
    start.make_environment(environment)
    assert commands == [[sys.executable, "-m", "venv", "--clear", str(environment)]]


@needs_shell
def test_packages_that_were_deleted_or_belong_to_another_checkout_are_noticed(
    environment: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(start, "probed", lambda *_: str(repository / "MultiTaskSeg" / "MultiTaskSegLib" / "x.py"))
    assert start.is_whole(environment)
    monkeypatch.setattr(start, "probed", lambda *_: "/elsewhere/MultiTaskSegLib/x.py")
    assert not start.is_whole(environment)
    monkeypatch.setattr(start, "probed", lambda *_: None)
    assert not start.is_whole(environment)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"extras": ["dev"]}', '{"fingerprint": 1}'])
def test_a_missing_or_damaged_stamp_means_not_installed(tmp_path: Path, content: str | None):
    stamp = tmp_path / "stamp.json"
    if content is not None:
        stamp.write_text(content)
    assert start.installed_extras(stamp, "x") == set()


def test_an_old_python_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(start.CannotStart, match=r"Python 3\.9 is too old.*3\.10"):
        start.check_python()


def test_a_python_without_ensurepip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(start.CannotStart, match="python3-venv"):
        start.check_python()


def test_variables_that_lead_out_of_the_environment_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("PIP_TARGET", "elsewhere")
    monkeypatch.setenv("KEPT", "here")
    variables = start.clean_variables()
    assert "elsewhere" not in variables.values()
    assert variables["KEPT"] == "here"


def test_an_interpreter_that_does_not_start_is_not_an_environment(tmp_path: Path):
    assert start.python_in(tmp_path) is None


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["unknown"], 2), (["--help"], 0)])
def test_without_a_command_the_script_explains_itself(arguments: list[str], status: int, repository: Path):
    command = [sys.executable, str(repository / "start.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "start.py demo" in done.stdout


def test_the_tests_run_on_all_cores_side_by_side_and_a_file_s_tests_stay_together():
    assert start.side_by_side(1) == []
    assert start.side_by_side(6) == ["-n", "6", "--dist", "loadfile", "--no-loadscope-reorder"]


def test_a_process_that_may_use_one_core_only_starts_no_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(start.os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert start.usable_cores() == 1
    monkeypatch.delattr(start.os, "sched_getaffinity")
    monkeypatch.setattr(start.os, "cpu_count", lambda: None)
    assert start.usable_cores() == 1


def test_without_arguments_every_check_runs_even_when_one_before_it_fails(monkeypatch: pytest.MonkeyPatch):
    commands: list[tuple[str, ...]] = []

    def failing(title: str, *command: str) -> int:
        commands.append(command)
        return 1 if command[0] == "ruff" else 0

    monkeypatch.setattr(start, "run", failing)
    monkeypatch.setattr(start, "usable_cores", lambda: 2)
    monkeypatch.setattr(start, "TYPES_FROM", (3, 0))
    assert start.run_tests([]) == 1
    assert commands == [
        ("ruff", "check", "."),
        ("mypy",),
        ("pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"),
    ]
    assert start.run_tests(["-k", "geometry"]) == 0
    assert commands[-1] == ("pytest", "-k", "geometry")


def test_a_python_for_which_numpy_s_types_are_older_says_that_types_are_not_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    programs: list[str] = []
    monkeypatch.setattr(start, "run", lambda _, *command: programs.append(command[0]) or 0)
    monkeypatch.setattr(start, "TYPES_FROM", (3, 99))
    assert start.run_tests([]) == 0
    assert programs == ["ruff", "pytest"]
    assert "types (mypy): left out" in capsys.readouterr().out
