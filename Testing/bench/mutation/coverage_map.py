"""Which tests run a line: recorded once per commit, one part per folder of tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIXTURE = "fixture "
"""How the recorder marks what a shared fixture ran; such lines belong to every test that asks for the fixture."""


@dataclass
class CoverageMap:
    """Tests that passed, what they cost, and the lines that they run."""

    seconds: dict[str, float] = field(default_factory=dict)
    fixtures: dict[str, frozenset[str]] = field(default_factory=dict)
    """By test, the shared fixtures that it asks for."""
    fixture_seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    """By file and line, the tests."""
    left_out: list[str] = field(default_factory=list)
    """Tests that failed without any mutation."""

    def tests_of(self, file: str, numbers: Iterable[int]) -> set[str]:
        """Tests that run any of these lines."""
        by_line = self.lines.get(file, {})
        return {test for number in numbers for test in by_line.get(number, ())}

    def cost(self, tests: Iterable[str]) -> float:
        """Seconds that they take together, every shared fixture once."""
        chosen = list(tests)
        fixtures = {name for test in chosen for name in self.fixtures[test]}
        return sum(self.seconds[test] for test in chosen) + sum(self.fixture_seconds.get(n, 0.0) for n in fixtures)


def read_map(parts: Iterable[Path]) -> CoverageMap:
    """Put the recorded parts together."""
    found = CoverageMap()
    for path in parts:
        _add(found, json.loads(path.read_text("utf-8")))
    return found


def _add(found: CoverageMap, part: dict[str, Any]) -> None:
    users: dict[str, set[str]] = {}
    for test, facts in part["tests"].items():
        if facts["outcome"] == "failed":
            found.left_out.append(test)
        if facts["outcome"] == "passed":
            found.seconds[test] = facts["s"]
            found.fixtures[test] = frozenset(facts["fixtures"])
            for fixture in facts["fixtures"]:
                users.setdefault(fixture, set()).add(test)
    found.fixture_seconds |= part["fixtures"]
    for file, by_line in part["lines"].items():
        lines = found.lines.setdefault(file, {})
        for number, contexts in by_line.items():
            for context in contexts:
                own = users.get(context, set()) if context.startswith(FIXTURE) else {context} & found.seconds.keys()
                if own:
                    lines.setdefault(int(number), set()).update(own)
