"""A pytest plugin that runs given tests alone, in the given order: ``pytest -p given_order``.

Names on the command line would be a few thousand characters with brackets in them, and pytest would sort them. What has
run is written down at once: of a process that was killed or crashed it is known how far it came.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ORDER = "MUTATION_TESTS"
REPORT = "MUTATION_REPORT"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what was asked for."""
    if ORDER not in os.environ or config.pluginmanager.has_plugin("mutation-report"):
        return
    wanted = {name: place for place, name in enumerate(json.loads(Path(os.environ[ORDER]).read_text("utf-8")))}
    others = [item for item in items if item.nodeid not in wanted]
    items[:] = sorted((item for item in items if item.nodeid in wanted), key=lambda item: wanted[item.nodeid])
    config.hook.pytest_deselected(items=others)
    config.pluginmanager.register(Report(Path(os.environ[REPORT])), "mutation-report")


class Report:
    """One line of JSON per phase of a test, and the status at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase; nothing is left in a buffer."""
        self._write({"test": report.nodeid, "when": report.when, "outcome": report.outcome})

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """What the tests say; what a conftest makes of skips, or goes wrong while pytest tidies up, is not theirs."""
        self._write({"status": int(exitstatus)})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
