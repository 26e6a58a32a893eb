"""A whole mutation run of a project of a few lines, of which every outcome is known beforehand."""

from __future__ import annotations

import json
import os
import queue
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from Testing.bench.mutation import campaign
from Testing.bench.mutation.campaign import Campaign, Settings, meet, parts_with_tests
from Testing.bench.mutation.checkout_copy import CheckoutCopy
from Testing.bench.mutation.coverage_map import CoverageMap
from Testing.bench.mutation.mutant import Mutant, points
from Testing.bench.mutation.pytest_run import PytestRun

PRODUCT = """\
LIMIT = 7

def is_large(a):
    return a > LIMIT

def unwatched(a):
    return a + 1
"""
SHARED = """\
import pytest
from room.number import unwatched

@pytest.fixture(scope="session")
def shared():
    return unwatched(1)
"""
TESTS = """\
import pytest
from room.number import is_large

def test_fails_anyway():
    assert False

def test_is_large():
    assert is_large(8) and not is_large(7)

@pytest.mark.parametrize("name", ["a[b]::c", "d"])
def test_runs_a_line_but_looks_at_nothing(name, shared):
    pass
"""


# Half a second for each pytest instead of two: no plugin of other packages is loaded.
WITHOUT_PLUGINS = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def git(folder: Path, *arguments: str) -> str:
    """Output of git, as an author who needs no settings."""
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *author, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one product file and two files of tests, which share a fixture."""
    folder = tmp_path_factory.mktemp("project")
    files = {
        "room/number.py": PRODUCT,
        "Testing/room/conftest.py": SHARED,
        "Testing/room/test_number.py": TESTS,
        "Testing/room/test_other.py": "def test_elsewhere(shared):\n    pass\n",
        "pyproject.toml": "[tool.pytest]\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "project")
    return folder


@pytest.fixture(scope="module")
def settings(project: Path) -> Settings:
    """Every mutation point of the project."""
    return Settings(git(project, "rev-parse", "HEAD"), 0, 100, 60.0, {"room": "room"})


@pytest.fixture(scope="module")
def copy(project: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> CheckoutCopy:
    """A copy of the commit."""
    return CheckoutCopy.make(project, settings.commit, tmp_path_factory.mktemp("copies") / "copy")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def outcomes(project: Path, settings: Settings, copy: CheckoutCopy, out: Path) -> list[dict[str, Any]]:
    """Of the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*WITHOUT_PLUGINS)
        return Campaign(project, settings, out).run([copy], resume=False)


def by_line(outcomes: list[dict[str, Any]], line: int) -> dict[str, dict[str, Any]]:
    """Outcomes of a line by operator."""
    return {outcome["operator"]: outcome for outcome in outcomes if outcome["line"] == line}


def test_each_mutant_has_the_outcome_that_its_tests_decide(outcomes: list[dict[str, Any]]):
    found = {(outcome["line"], outcome["operator"]): outcome["outcome"] for outcome in outcomes}
    assert found == {
        (1, "constant"): "failed",
        (4, "return value"): "failed",
        (4, "comparison"): "failed",
        (7, "return value"): "survived",
        (7, "arithmetic"): "survived",
        (7, "constant"): "survived",
    }
    assert by_line(outcomes, 4)["comparison"]["noticed_by"] == "Testing/room/test_number.py::test_is_large"


def test_a_survivor_was_met_by_every_test_of_the_fixture_that_runs_its_line(outcomes: list[dict[str, Any]]):
    survivor = by_line(outcomes, 7)["arithmetic"]
    silent = {
        f"Testing/room/test_number.py::test_runs_a_line_but_looks_at_nothing[{name}]" for name in ("a[b]::c", "d")
    }
    assert set(survivor["passed"]) >= {*silent, "Testing/room/test_other.py::test_elsewhere"}


def test_a_test_that_fails_without_any_mutation_notices_nothing(outcomes: list[dict[str, Any]]):
    assert not any("fails_anyway" in str(outcome) for outcome in outcomes)


def test_neither_the_working_tree_nor_the_copy_is_left_changed(
    outcomes: list[dict[str, Any]], project: Path, copy: CheckoutCopy
):
    assert git(project, "status", "--porcelain") == ""
    assert git(copy.folder, "status", "--porcelain", "--untracked-files=no") == ""
    assert (copy.folder / "room/number.py").read_text("utf-8") == PRODUCT


def test_an_interrupted_run_goes_on_where_it_was(
    outcomes: list[dict[str, Any]],
    project: Path,
    settings: Settings,
    copy: CheckoutCopy,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    lines = (out / "outcomes.jsonl").read_text("utf-8").splitlines(keepends=True)
    assert len(lines) == 1 + len(outcomes)
    # All but one line of the log: what is there is believed, marked or not, and only the rest is tried.
    marked = [json.dumps({**json.loads(line), "seconds": 12345.0}) + "\n" for line in lines[1:-1]]
    for path in out.iterdir():
        if path.name != "outcomes.jsonl":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "outcomes.jsonl").write_text("".join([lines[0], *marked, lines[-1][:-9]]), "utf-8")
    monkeypatch.setenv(*WITHOUT_PLUGINS)
    resumed = Campaign(project, settings, tmp_path).run([copy], resume=True)
    assert [outcome["outcome"] for outcome in resumed] == [outcome["outcome"] for outcome in outcomes]
    assert sum(outcome["seconds"] == 12345.0 for outcome in resumed) == len(outcomes) - 1


def test_an_earlier_run_is_neither_overwritten_nor_mixed_with_another(
    outcomes: list[dict[str, Any]], project: Path, settings: Settings, copy: CheckoutCopy, out: Path
):
    with pytest.raises(ValueError, match="--resume"):
        Campaign(project, settings, out).run([copy], resume=False)
    with pytest.raises(ValueError, match="another run"):
        Campaign(project, replace(settings, seed=1), out).run([copy], resume=True)


def first_mutant() -> Mutant:
    """Of the product: the limit."""
    return next(points("room/number.py", PRODUCT.encode()))[0]


def test_compiled_code_of_the_file_before_is_never_taken_for_the_mutant(copy: CheckoutCopy):
    # 7 -> 8 within one second: neither size nor clock tells the files apart.
    path = copy.folder / "room" / "number.py"
    times = [path.stat().st_mtime_ns // 10**9]
    with copy.mutated(first_mutant()):
        times.append(path.stat().st_mtime_ns // 10**9)
    times.append(path.stat().st_mtime_ns // 10**9)
    with copy.mutated(first_mutant()):
        times.append(path.stat().st_mtime_ns // 10**9)
    assert len(set(times)) == 4


def test_what_hypothesis_remembers_of_a_mutant_is_forgotten(copy: CheckoutCopy):
    with copy.mutated(first_mutant()):
        (copy.folder / ".hypothesis").mkdir()
        assert (copy.folder / "room" / "number.py").read_text("utf-8") == PRODUCT.replace("7", "8")
    assert not (copy.folder / ".hypothesis").exists()


def test_every_folder_that_holds_tests_is_a_part_of_the_map(tmp_path: Path):
    for name in ("a/b/test_x.py", "c/test_y.py", "d/sample.py"):
        (tmp_path / "Testing" / name).parent.mkdir(parents=True)
        (tmp_path / "Testing" / name).touch()
    assert [path.name for path in parts_with_tests(tmp_path, ())] == ["a", "c"]
    assert [path.name for path in parts_with_tests(tmp_path, ("c", "d"))] == ["c"]


@pytest.mark.parametrize(
    ("statuses", "runs", "outcome"),
    [
        ([0], [(True, 9.0)], "survived"),
        ([None, 0], [(True, 9.0), (False, 9.0)], "timeout"),
        ([None, None, 0], [(True, 9.0), (False, 9.0), (True, 18.0)], "survived"),
        ([None, None, None, 0], [(True, 9.0), (False, 9.0), (True, 18.0), (False, 18.0)], "timeout"),
        ([None, None, None, None], [(True, 9.0), (False, 9.0), (True, 18.0), (False, 18.0)], "survived"),
    ],
)
def test_time_counts_against_a_mutant_where_its_tests_are_quick_without_it(
    copy: CheckoutCopy,
    statuses: list[int | None],
    runs: list[tuple[bool, float]],
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
):
    seen = []

    def run(where: CheckoutCopy, tests: list[str], limit_s: float, stop_at_first: bool) -> PytestRun:
        mutated = (where.folder / "room" / "number.py").read_text("utf-8") != PRODUCT
        seen.append((mutated, limit_s))
        return PytestRun(statuses[len(seen) - 1], limit_s, [], [], "")

    monkeypatch.setattr(campaign, "run_pytest", run)
    assert meet(copy, first_mutant(), ["test"], 9.0).outcome == outcome
    assert seen == runs


def copies_of(*folders: Path) -> queue.SimpleQueue[CheckoutCopy]:
    free: queue.SimpleQueue[CheckoutCopy] = queue.SimpleQueue()
    for folder in folders:
        free.put(CheckoutCopy(folder))
    return free


def test_the_parts_of_a_map_are_shared_out_among_the_copies_and_recorded_parts_are_not_recorded_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, files in (("small", 1), ("large", 3), ("known", 2)):
        folder = tmp_path / "Testing" / name
        folder.mkdir(parents=True)
        for number in range(files):
            (folder / f"test_{number}.py").write_text("", "utf-8")
    recorded = []

    def record(_: Campaign, copy: CheckoutCopy, tests: Path, target: Path) -> None:
        recorded.append((tests.relative_to(copy.folder).as_posix(), target.name))
        target.write_text('{"tests": {}, "fixtures": {}, "lines": {}}', "utf-8")

    monkeypatch.setattr(Campaign, "_record", record)
    run = Campaign(tmp_path, settings, tmp_path / "out")
    known = tmp_path / "out" / f"map-{settings.commit[:12]}" / "known.json"
    known.parent.mkdir(parents=True)
    known.write_text('{"tests": {"t": {"outcome": "failed"}}, "fixtures": {}, "lines": {}}', "utf-8")
    free = copies_of(tmp_path / "copy")
    assert run.coverage_map(free, 1).left_out == ["t"]
    assert recorded == [("Testing/large", "large.json"), ("Testing/small", "small.json")]
    assert free.get(block=False).folder == tmp_path / "copy"


def test_a_session_that_broke_off_leaves_no_map_that_looks_whole(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(*WITHOUT_PLUGINS)
    folder = tmp_path / "copy" / "Testing" / "room"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text("def test_a(): pass\n", "utf-8")
    (folder / "test_broken.py").write_text("import nothing_of_this_name\n", "utf-8")
    (tmp_path / "copy" / "pyproject.toml").write_text("[tool.pytest]\n", "utf-8")
    with pytest.raises(RuntimeError, match="no coverage map of room"):
        Campaign(tmp_path / "copy", settings, tmp_path / "out").coverage_map(copies_of(tmp_path / "copy"), 1)


def test_a_copy_in_which_nothing_passes_is_not_tried_any_further(
    settings: Settings, copy: CheckoutCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(campaign, "run_pytest", lambda *_, **__: PytestRun(1, 1.0, [], ["a.py::test_a"], "words"))
    found = CoverageMap({"a.py::test_a": 1.0}, {"a.py::test_a": frozenset()})
    with pytest.raises(RuntimeError, match="no test passes"):
        Campaign(tmp_path, settings, tmp_path).steady_tests(copy, found, ["a.py::test_a"])


def test_processes_see_the_copy_first_and_no_options_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 2")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = CheckoutCopy(tmp_path).environment()
    assert "PYTEST_ADDOPTS" not in environment
    first, second, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(first), Path(second)) == (tmp_path, tmp_path / "MultiTaskSeg")
    assert "elsewhere" not in others
