"""Which tests a mutant meets, and what their run is called."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from Testing.bench.mutation.checkout_copy import CheckoutCopy
from Testing.bench.mutation.chosen_tests import choose, ordered
from Testing.bench.mutation.coverage_map import CoverageMap, read_map
from Testing.bench.mutation.mutant import Mutant
from Testing.bench.mutation.pytest_run import PytestRun, run_pytest

FILE = "trainer/training/loss.py"
OWN, OTHER = "Testing/trainer/training/test_loss.py::", "Testing/runtime/test_cli.py::"


def mutant(line: int, at_import: bool = False) -> Mutant:
    """A mutant of a line."""
    return Mutant(FILE, line, 0, 1, "constant", "1", "2", line, line, at_import)


def covered(lines: dict[int, set[str]], seconds: dict[str, float]) -> CoverageMap:
    """A map of one file; the tests share no fixtures."""
    return CoverageMap(seconds, dict.fromkeys(seconds, frozenset()), {}, {FILE: lines})


def test_the_tests_that_run_the_line_are_chosen_and_the_quick_ones_run_first(tmp_path: Path):
    seconds = {f"{OWN}{n}": float(n) for n in range(1, 8)} | {f"{OTHER}a": 0.5}
    lines = {5: {f"{OWN}{n}" for n in range(3, 8)}, 6: {f"{OWN}1"}}
    assert choose(mutant(5), covered(lines, seconds), tmp_path, 100.0) == [f"{OWN}{n}" for n in range(3, 8)]


def test_the_limit_of_time_and_number_keeps_the_near_and_the_quick(tmp_path: Path):
    seconds = {f"{OWN}{n}": float(n) for n in range(1, 6)} | {f"{OTHER}a": 0.5}
    found = covered({5: set(seconds)}, seconds)
    assert choose(mutant(5), found, tmp_path, 6.5) == [f"{OTHER}a", f"{OWN}1", f"{OWN}2", f"{OWN}3"]
    assert choose(mutant(5), found, tmp_path, 6.4) == [f"{OWN}1", f"{OWN}2", f"{OWN}3"]
    assert choose(mutant(5), found, tmp_path, 100.0, most=2) == [f"{OWN}1", f"{OWN}2"]


def test_of_tests_that_cost_the_same_every_run_chooses_the_same(tmp_path: Path):
    """Sets have another order in every process."""
    names = [f"{OWN}{n:02}" for n in range(60)]
    found = covered({5: set(names)}, dict.fromkeys(names, 0.1))
    assert choose(mutant(5), found, tmp_path, 100.0, most=7) == names[:7]


@pytest.mark.parametrize(("on_the_line", "chosen"), [(4, 7), (5, 5)])
def test_where_fewer_than_five_tests_run_the_line_the_rest_of_their_file_runs_too(
    on_the_line: int, chosen: int, tmp_path: Path
):
    seconds = {f"{OWN}{n}": float(n) for n in range(1, 8)}
    found = covered({5: {f"{OWN}{n}" for n in range(1, 1 + on_the_line)}}, seconds)
    assert len(choose(mutant(5), found, tmp_path, 99)) == chosen


def test_a_line_that_no_recorded_test_runs_meets_its_room_and_the_tests_that_start_processes(tmp_path: Path):
    seconds = {f"{OWN}1": 1.0, f"{OTHER}a": 1.0, "Testing/slicer/job/test_job.py::b": 2.0}
    assert choose(mutant(5), covered({6: {f"{OTHER}a"}}, seconds), tmp_path, 99) == [
        f"{OWN}1",
        "Testing/slicer/job/test_job.py::b",
    ]


def test_a_line_that_runs_at_import_meets_the_tests_of_whatever_mentions_its_name(tmp_path: Path):
    user = "trainer/training/training.py"
    for name, text in {FILE: "LIMIT = 3\n", user: "x = 0\ndef f(a):\n    return a > LIMIT\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    seconds = {f"{OTHER}a": 1.0, f"{OTHER}b": 1.0, f"{OWN}1": 0.1}
    found = covered({}, seconds)
    found.lines[user] = {3: {f"{OTHER}a"}, 2: {f"{OTHER}b"}}
    assert choose(mutant(1, at_import=True), found, tmp_path, 1.05) == [f"{OTHER}a"]
    assert choose(mutant(1, at_import=True), found, tmp_path, 99) == [f"{OWN}1", f"{OTHER}a"]


def test_a_shared_fixture_costs_once_and_a_file_stays_together():
    seconds = {"a.py::1": 0.1, "a.py::2": 3.0, "b.py::1": 1.0}
    found = CoverageMap(seconds, {test: frozenset({"f"}) for test in seconds}, {"f": 10.0})
    assert found.cost(seconds) == pytest.approx(14.1)
    assert ordered(["a.py::2", "b.py::1", "a.py::1"], found) == ["a.py::1", "a.py::2", "b.py::1"]


def test_lines_of_a_shared_fixture_belong_to_all_its_tests_and_failed_or_skipped_tests_to_nothing(tmp_path: Path):
    def test(outcome: str, *fixtures: str) -> dict:
        return {"outcome": outcome, "s": 1.0, "fixtures": list(fixtures)}

    tests = {"a": test("passed", "fixture f"), "b": test("passed", "fixture f"), "c": test("passed")}
    tests |= {"d": test("failed", "fixture f"), "e": test("skipped", "fixture f")}
    lines = {"x.py": {"1": ["fixture f"], "2": ["c", "d", "e"], "3": ["d"]}}
    (tmp_path / "1.json").write_text(json.dumps({"tests": tests, "fixtures": {"fixture f": 2.0}, "lines": lines}))
    more = {"tests": {"g": test("passed")}, "fixtures": {}, "lines": {"x.py": {"2": ["g"]}}}
    (tmp_path / "2.json").write_text(json.dumps(more))
    found = read_map([tmp_path / "1.json", tmp_path / "2.json"])
    assert found.lines == {"x.py": {1: {"a", "b"}, 2: {"c", "g"}}}
    assert found.left_out == ["d"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> CheckoutCopy:
    """A folder with tests that end in every way."""
    folder = tmp_path_factory.mktemp("copy")
    texts = {
        "test_ends.py": "import os, time\ndef test_good(): pass\ndef test_bad(): assert 0\n"
        "def test_crash(): os.abort()\ndef test_late(): time.sleep(60)\n",
        "conftest.py": "import pytest\n@pytest.hookimpl(trylast=True)\ndef pytest_unconfigure(config):\n"
        "    if 'untidy' in config.args[0]: raise RuntimeError\n"
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_sessionfinish(session):\n"
        "    if 'complained' in session.config.args[0]: session.exitstatus = 1\n",
        "test_complained_of.py": "def test_good(): pass\n",
        "test_untidy.py": "def test_good(): pass\n",
        "test_broken.py": "import nothing_of_this_name\ndef test_a(): pass\n",
    }
    for name, text in {**texts, "pyproject.toml": "[tool.pytest]\n"}.items():
        (folder / name).write_text(text, "utf-8")
    return CheckoutCopy(folder)


@pytest.mark.parametrize(
    ("tests", "outcome"),
    [
        (["test_ends.py::test_good"], "survived"),
        (["test_ends.py::test_good", "test_ends.py::test_bad", "test_ends.py::test_late"], "failed"),
        (["test_ends.py::test_good", "test_ends.py::test_crash"], "error"),
        (["test_broken.py::test_a"], "error"),
        (["test_ends.py::test_gone"], "survived"),
        (["test_untidy.py::test_good"], "survived"),
        (["test_complained_of.py::test_good"], "survived"),
    ],
)
def test_each_end_of_a_run_has_a_name(
    copy: CheckoutCopy, tests: list[str], outcome: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    done = run_pytest(copy, tests, 50.0, stop_at_first=True)
    assert done.outcome == outcome, done.last_words
    assert done.passed == [test for test in tests if test.endswith("good")]


def test_a_run_beyond_its_time_is_ended_and_called_so(copy: CheckoutCopy):
    started = time.monotonic()
    done = run_pytest(copy, ["test_ends.py::test_late"], 1.0, stop_at_first=True)
    assert done.outcome == "timeout"
    assert time.monotonic() - started < 30


def test_a_failure_counts_as_such_although_pytest_crashed_after_it():
    done = PytestRun(-6, 1.0, [], ["a"], "")
    assert (done.outcome, replace(done, failed=[]).outcome) == ("failed", "error")
