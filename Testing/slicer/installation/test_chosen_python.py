"""The Python that was chosen for the worker: remembered, followed by scripts too, and told when it cannot be used."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job
from MultiTaskSegLib.interpreter.other_python import other_python, use_python
from MultiTaskSegLib.runtime.errors import ResourceError, UsageError

pytestmark = pytest.mark.usefixtures("session")


@pytest.fixture
def choice(stand_ins, monkeypatch):
    stand_ins.QSettings().clear()
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: dict(os.environ))  # of the real application
    yield importlib.import_module("MultiTaskSegLib.installation.chosen_python")
    stand_ins.QSettings().clear()
    use_python(None)


class Runner:
    """Of the worker, with or without a run under way."""

    def __init__(self, *, is_busy: bool) -> None:
        self.is_busy, self.is_closed = is_busy, False

    def close(self) -> None:
        """The next run has a new worker."""
        self.is_closed = True


def remember(choice, path: Path) -> None:
    """As a panel of an earlier day has left it."""
    import qt

    qt.QSettings().setValue(choice.SETTING, str(path))


def test_scripts_without_a_panel_follow_the_choice(choice) -> None:
    from MultiTaskSegLib.installation.missing_package import require_installed

    remember(choice, Path(sys.executable))
    require_installed()
    assert other_python() is not None
    assert other_python().path == Path(sys.executable)


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_run_that_is_under_way_is_not_ended_by_a_choice_that_is_found(choice, monkeypatch, is_busy) -> None:
    runner = Runner(is_busy=is_busy)
    monkeypatch.setattr(choice, "shared_runner", lambda: runner)
    remember(choice, Path(sys.executable))
    choice.apply_choice()
    assert runner.is_closed is not is_busy
    assert (other_python() is None) is is_busy


def test_another_one_is_refused_while_a_run_is_under_way_or_where_there_is_none(choice, monkeypatch, tmp_path) -> None:
    with pytest.raises(ResourceError, match="no such Python"):
        choice.choose_python(str(tmp_path / "gone"))
    monkeypatch.setattr(choice, "shared_runner", lambda: Runner(is_busy=True))
    with pytest.raises(UsageError, match="a run is under way"):
        choice.choose_python(sys.executable)
    assert choice.chosen_path() == choice.OWN


def test_a_remembered_environment_that_was_removed_is_told_and_slicers_own_can_be_chosen(choice, tmp_path) -> None:
    remember(choice, tmp_path / "removed" / "bin" / "python3")
    choice.apply_choice()
    with pytest.raises(ResourceError, match="the chosen Python is not there"):
        choice.require_usable()
    choice.choose_python(choice.OWN)
    assert other_python() is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a program that is a text")
def test_a_python_that_lacks_packages_is_told_with_a_command_that_stands_in_quotes(choice, tmp_path) -> None:
    program = tmp_path / "my tools" / "python3"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1\n")
    program.chmod(0o755)
    choice.choose_python(str(program))
    with pytest.raises(ResourceError, match=f'No module named .*Run "{program}" -m pip install torch'):
        choice.require_usable()
    assert not job.shared_runner().is_busy
