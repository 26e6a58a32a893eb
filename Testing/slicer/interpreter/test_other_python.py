"""The worker with another Python: what it inherits, what it must not, and where Pythons are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from MultiTaskSegLib import worker_process
from MultiTaskSegLib.interpreter.found_pythons import found_pythons, python_in
from MultiTaskSegLib.interpreter.other_python import OtherPython, other_python, use_python
from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.worker_process import BrokenWorkerError


@pytest.fixture(autouse=True)
def slicers_own_afterwards():
    yield
    use_python(None)


def program(folder: Path) -> Path:
    place = folder / ("python.exe" if sys.platform == "win32" else "bin/python3")
    place.parent.mkdir(parents=True)
    place.write_text("")
    return place


def test_what_slicer_set_for_its_own_python_does_not_reach_another(monkeypatch, tmp_path) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/slicer/lib")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    use_python(OtherPython(program(tmp_path)))
    found = worker_process.worker_environment(tmp_path)
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} & set(found)
    assert found["PYTHONPATH"] == str(Path(worker_process.__file__).resolve().parent.parent)
    assert found["HTTPS_PROXY"] == "http://proxy"
    use_python(None)
    assert worker_process.worker_environment()["PYTHONHOME"] == "/slicer/lib"


def test_the_environment_of_before_slicer_is_taken_where_it_is_known(tmp_path) -> None:
    outside = {"LD_LIBRARY_PATH": "/own/lib", "PYTHONHOME": "/old", "PATH": "/bin"}
    use_python(OtherPython(program(tmp_path), outside))
    found = worker_process.worker_environment()
    assert found["LD_LIBRARY_PATH"] == "/own/lib"
    assert "PYTHONHOME" not in found


def test_a_chosen_python_that_has_gone_is_told(tmp_path) -> None:
    place = program(tmp_path)
    use_python(OtherPython(place))
    assert worker_process.python_executable() == str(place)
    place.unlink()
    with pytest.raises(BrokenWorkerError, match="chosen Python is not there"):
        worker_process.python_executable()


def test_choosing_the_same_again_is_no_change(tmp_path) -> None:
    place = program(tmp_path)
    assert use_python(OtherPython(place))
    assert not use_python(OtherPython(place))
    assert use_python(None)
    assert other_python() is None


def test_a_worker_answers_with_the_python_of_another_environment(tmp_path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(other)], check=True)
    site = next(other.rglob("site-packages"))
    # What the tests' own environment has, as if it had been installed there.
    (site / "tests.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    python = python_in(other)
    assert python is not None
    use_python(OtherPython(python))
    runner = JobRunner()
    try:
        devices = runner.devices().wait(timeout_s=120).devices
    finally:
        runner.close()
    assert "cpu" in [device["name"] for device in devices]


def test_environments_are_found_where_people_keep_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    made = [program(tmp_path / place) for place in ("miniforge3", "miniforge3/envs/seg", ".virtualenvs/lab", "own/env")]
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{tmp_path / 'own/env'}\n{tmp_path / 'gone'}\n")
    (tmp_path / ".virtualenvs" / "empty").mkdir()
    assert set(found_pythons(tmp_path)) == set(made)
    assert python_in(tmp_path / "gone") is None
    assert found_pythons(tmp_path / "nobody") == []
