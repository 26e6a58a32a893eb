"""A run in which something was not tested says so, and fails where that could be mended."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from Testing.house.source_tree import Source, sources
from Testing.skip_report import (
    complaints,
    missing_packages,
    own_requirements,
    skip_reasons,
    unknown_reasons,
    wanted_packages,
)

REQUIREMENTS = [
    "numpy>=1.26",
    'pytest; extra == "dev"',
    'multitaskseg[benchmark,cluster]; extra == "dev"',
    'torchio>=0.20; extra == "benchmark"',
    'ray; extra == "cluster"',
    "elsewhere; sys_platform == 'nowhere' and extra == 'dev'",
    'matplotlib; extra == "trainer"',
]


def skipped(reason: str) -> SimpleNamespace:
    return SimpleNamespace(longrepr=("test_a.py", 1, f"Skipped: {reason}"))


def nothing(name: str) -> NoReturn:
    raise PackageNotFoundError(name)


def test_an_extra_asks_for_the_packages_of_the_extras_it_names_on_this_system_only():
    assert wanted_packages("dev", REQUIREMENTS) == {"numpy", "pytest", "torchio", "ray"}
    assert wanted_packages("trainer", REQUIREMENTS) == {"numpy", "matplotlib"}


def test_a_package_that_is_wanted_and_absent_is_missing():
    assert missing_packages("trainer", REQUIREMENTS, lambda name: "1.0") == []
    assert missing_packages("trainer", REQUIREMENTS, nothing) == ["matplotlib", "numpy"]


def test_a_reason_that_nobody_has_written_down_is_a_complaint():
    known = [
        skipped("Ray is not installed"),
        skipped("real data not found at X: set MULTITASKSEG_DATA to their folder"),
    ]
    assert complaints(known, []) == []
    assert complaints([*known, skipped("it fails today")], [])
    assert unknown_reasons(["Ray is not installed today"]) == ["Ray is not installed today"]


def test_a_missing_package_is_a_complaint_even_when_nothing_was_skipped():
    assert any(
        "no-such-package-of-ours" in text for text in complaints([], ['no-such-package-of-ours; extra == "dev"'])
    )


def test_a_checkout_that_is_only_on_the_path_is_told_what_to_do_and_ends_in_no_traceback():
    (text,) = complaints([], own_requirements(nothing))
    assert "multitaskseg-itself" in text
    assert "python3 start.py test" in text
    assert own_requirements(lambda name: None) == []


def test_reasons_are_counted():
    assert skip_reasons([skipped("a"), skipped("b"), skipped("a")]) == {"a": 2, "b": 1}


@pytest.mark.parametrize("parallel", [[], ["-n", "2"]], ids=["one process", "two processes"])
@pytest.mark.parametrize(("reason", "status"), [("root may read everything", 0), ("it fails today", 1)])
def test_a_run_fails_on_an_unknown_reason_and_counts_the_others(
    tmp_path: Path, repository: Path, parallel: list[str], reason: str, status: int
):
    (tmp_path / "conftest.py").write_text(
        "from Testing.skip_report import pytest_sessionfinish, pytest_terminal_summary"
    )
    (tmp_path / "test_a.py").write_text(f"import pytest\n\ndef test_a():\n    pytest.skip('{reason}')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *parallel, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(repository), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert f"not tested: 1 x {reason}" in done.stdout
    assert ("although no test did" in done.stdout) == bool(status)
    assert "1 skipped" in done.stdout.splitlines()[-1]


def test_every_reason_in_the_tests_is_known():
    used = {reason for source in sources() if source.name.startswith("Testing/") for reason in given_reasons(source)}
    assert len(used) > 10
    assert unknown_reasons(used) == []


def given_reasons(source: Source) -> list[str]:
    """Plain texts of ``reason=`` in calls that skip."""
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    skipping = [call for call in calls if ast.unparse(call.func).endswith(("skipif", "importorskip", "mark.skip"))]
    words = [word.value for call in skipping for word in call.keywords if word.arg == "reason"]
    return [word.value for word in words if isinstance(word, ast.Constant)]
