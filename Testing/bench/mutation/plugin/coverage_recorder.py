"""A pytest plugin that records which tests run which lines: ``pytest -p coverage_recorder``.

Lines of a fixture that several tests share belong to every test that asks for it, not only to the first one, which
happens to set it up. coverage counts and pytest tells; where from and where to stands in the environment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

FOLDERS = "MUTATION_COVERED_FOLDERS"
TARGET = "MUTATION_COVERAGE_MAP"
FIXTURE = "fixture "
ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count, unless this is some inner pytest of a test."""
    if os.environ.get(TARGET) and not config.pluginmanager.has_plugin("mutation-coverage-recorder"):
        target, folders = Path(os.environ[TARGET]), os.environ[FOLDERS].split(os.pathsep)
        recorder = Recorder(target, folders, Path(config.rootpath))
        config.pluginmanager.register(recorder, "mutation-coverage-recorder")


class Recorder:
    """What each test runs, how long it takes and how it ends."""

    def __init__(self, target: Path, folders: list[str], root: Path) -> None:
        self.target, self.root = target, root
        self.tests: dict[str, dict[str, Any]] = {}
        self.fixtures: dict[str, float] = {}
        self.shared_s = 0.0
        self.contexts = [""]
        self.counter = coverage.Coverage(data_file=None, config_file=False, source=folders, messages=False)
        self.counter.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Everything from here to the end of the test is this test's."""
        test = self.tests[item.nodeid] = {"outcome": "passed", "s": 0.0, "fixtures": _shared_fixtures(item)}
        started, self.shared_s = time.perf_counter(), 0.0
        self._enter(item.nodeid)
        try:
            return (yield)
        finally:
            self._leave()
            test["s"] = round(max(0.0, time.perf_counter() - started - self.shared_s), 4)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[Any]:
        """What a shared fixture runs is put down to the fixture, and the time it takes as well."""
        if fixturedef.scope == "function":
            return (yield)
        name = _fixture_name(fixturedef)
        started, before = time.perf_counter(), self.shared_s
        self._enter(name)
        try:
            return (yield)
        finally:
            self._leave()
            # A fixture set up inside another one is counted once.
            took = time.perf_counter() - started
            self.fixtures[name] = round(max(self.fixtures.get(name, 0.0), took - (self.shared_s - before)), 4)
            self.shared_s = before + took

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that failed or was skipped tells nothing about a mutant."""
        if report.outcome != "passed":
            self.tests[report.nodeid]["outcome"] = report.outcome

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write all of it, unless the session broke off: what is missing would look as if no test ran it."""
        self.counter.stop()
        if exitstatus not in ENDED:
            return
        data = self.counter.get_data()
        lines = {
            Path(name).resolve().relative_to(self.root.resolve()).as_posix(): {
                str(number): sorted(set(contexts) - {""}) for number, contexts in data.contexts_by_lineno(name).items()
            }
            for name in data.measured_files()
        }
        content = {"tests": self.tests, "fixtures": self.fixtures, "lines": lines}
        part = self.target.with_suffix(".part")
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(self.target)

    def _enter(self, context: str) -> None:
        self.contexts.append(context)
        self.counter.switch_context(context)

    def _leave(self) -> None:
        self.contexts.pop()
        self.counter.switch_context(self.contexts[-1])


def _shared_fixtures(item: pytest.Item) -> list[str]:
    definitions = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    return sorted({_fixture_name(one) for several in definitions for one in several if one.scope != "function"})


def _fixture_name(definition: Any) -> str:
    return f"{FIXTURE}{definition.baseid}::{definition.argname}"
