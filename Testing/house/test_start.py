"""The script that sets up the environment: when it installs, and what it says when it cannot."""

from __future__ import annotations

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


def test_a_finished_installation_is_remembered(checkout: Path):
    stamp, expected = checkout / "stamp.json", start.fingerprint(checkout)
    start.write_stamp(stamp, expected, {"trainer", "dev"})
    assert start.installed_extras(stamp, expected) == {"trainer", "dev"}
    assert start.installed_extras(stamp, "another") == set()
    assert not list(checkout.glob("*.part"))


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
    assert not start.has_pip(tmp_path)


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
    assert start.run_tests([]) == 1
    assert commands == [
        ("ruff", "check", "."),
        ("mypy",),
        ("pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"),
    ]
    assert start.run_tests(["-k", "geometry"]) == 0
    assert commands[-1] == ("pytest", "-k", "geometry")
