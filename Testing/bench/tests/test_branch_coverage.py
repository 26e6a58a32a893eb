"""Branches of the runtime are counted, also those that a process which a test starts takes; a part is not published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from Testing.bench import branch_coverage

STARTS_A_PROCESS = """
import subprocess, sys

def test_child():
    words = "from MultiTaskSegLib.runtime.naming.spreadsheet_cell import spreadsheet_cell; spreadsheet_cell(None)"
    subprocess.run([sys.executable, "-c", words], check=True)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_process_of_a_test_runs_is_counted(
    jobs: int, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repository / "MultiTaskSeg"))
    test = tmp_path / "test_child.py"
    test.write_text(STARTS_A_PROCESS, encoding="utf-8")
    assert branch_coverage.main(["-o", str(tmp_path / "out"), "--jobs", str(jobs), "--tests", str(test)]) == 0
    content = json.loads((tmp_path / "out" / "branch-coverage.json").read_text())
    assert {"command", "commit", "machine", "date", "tests"} <= set(content)
    packages = content["results"]["packages"]
    # The test itself touches nothing of it.
    assert 0 < packages["naming"]["covered_branches"] < packages["naming"]["branches"]
    assert packages["ood"]["covered_lines"] == 0
    assert content["results"]["all"]["covered_branches"] == packages["naming"]["covered_branches"]
    assert "all " in capfd.readouterr().out


IMPORTED_ONCE = """
from pathlib import Path

mark = Path(__file__).with_name("tried")
is_first = not mark.exists()
mark.touch()
assert not is_first

def test_nothing():
    pass
"""
FAILS_TWICE_OR_ONCE = """
from pathlib import Path

def test_once():
    mark = Path(__file__).with_name("tried")
    is_first = not mark.exists()
    mark.touch()
    assert not is_first

def test_always():
    assert {holds}
"""


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_what_fails_is_tried_once_more_and_no_more(holds: bool, status: int, tmp_path: Path) -> None:
    test = tmp_path / "test_twice.py"
    test.write_text(FAILS_TWICE_OR_ONCE.format(holds=holds), encoding="utf-8")
    assert branch_coverage.run_tests(tmp_path, [str(test)]) == status


def test_a_suite_that_cannot_be_collected_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(IMPORTED_ONCE, encoding="utf-8")
    assert branch_coverage.run_tests(tmp_path, [str(tmp_path / "test_a.py")]) == 2


@pytest.mark.parametrize("status", [1, 5])
def test_figures_of_a_suite_that_fails_are_not_published(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"num_statements": 4, "covered_lines": 3, "num_branches": 2, "covered_branches": 1}
    monkeypatch.setattr(branch_coverage, "run_tests", lambda *_: status)
    monkeypatch.setattr(branch_coverage, "measured", lambda _: {f"{branch_coverage.RUNTIME}/cli.py": counts})
    words = ["-o", str(tmp_path / "out"), "--publish", str(tmp_path / "docs")]
    assert branch_coverage.main(words) == 1
    assert f"ended with {status}" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
    monkeypatch.setattr(branch_coverage, "run_tests", lambda *_: 0)
    assert branch_coverage.main(words) == 0
    (published,) = (tmp_path / "docs").glob(branch_coverage.FILES)
    assert json.loads(published.read_text())["results"]["all"]["covered_branches"] == 1


def test_figures_of_some_tests_are_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-o", str(tmp_path / "out"), "--tests", "Testing/runtime", "--publish", str(tmp_path)]
    assert branch_coverage.main(words) == 2
    assert "only a run of all tests" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_recorded_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch_coverage, "_coverage", lambda *_: 1)
    with pytest.raises(RuntimeError, match="recorded nothing"):
        branch_coverage.measured(tmp_path)
