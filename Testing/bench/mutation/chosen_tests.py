"""Which tests a mutant meets, and in which order: those that run its line, within a limit of number and time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from Testing.bench.mutation.coverage_map import CoverageMap
from Testing.bench.mutation.mutant import Mutant

MOST_TESTS = 150
FEW = 5
"""With fewer tests than this on a line, the rest of their files runs too: what a module keeps between its tests is
recorded for the first one only."""
# What runs in another process is not recorded; these start one.
STARTING_PROCESSES = ("Testing/slicer/job/", "Testing/runtime/test_worker.py", "Testing/hostile/test_command_line.py")


def choose(mutant: Mutant, found: CoverageMap, root: Path, limit_s: float, most: int = MOST_TESTS) -> list[str]:
    """Tests in the order in which they should run; none where nothing recorded comes near the mutant."""
    chosen: list[str] = []
    for tier in _tiers(mutant, found, root):
        for test in sorted(
            tier - set(chosen), key=lambda test: (not _is_near(test, mutant.file), found.seconds[test], test)
        ):
            if len(chosen) < most and found.cost([*chosen, test]) <= limit_s:
                chosen.append(test)
    return ordered(chosen, found)


def ordered(tests: Iterable[str], found: CoverageMap) -> list[str]:
    """Cheap files first and cheap tests first within them: a file stays together, and its fixtures with it."""
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    by_cost = sorted(files, key=lambda file: (found.cost(files[file]) / len(files[file]), file))
    return [test for file in by_cost for test in sorted(files[file], key=lambda test: (found.seconds[test], test))]


def folder_of_tests(file: str) -> str:
    """Where the tests of a product file's room are.

    >>> folder_of_tests("MultiTaskSeg/MultiTaskSegLib/scene/batch.py")
    'Testing/slicer/scene/'
    >>> folder_of_tests("trainer/two_stage/run.py")
    'Testing/trainer/two_stage/'
    """
    folder = PurePosixPath(file).parent.as_posix().removeprefix("MultiTaskSeg/MultiTaskSegLib/")
    return f"Testing/{'slicer/' if folder == 'scene' else ''}{folder}/"


def _tiers(mutant: Mutant, found: CoverageMap, root: Path) -> list[set[str]]:
    """Sets of tests, the likeliest to notice first."""
    everything = found.seconds.keys()
    room = {test for test in everything if test.startswith(folder_of_tests(mutant.file))}
    if mutant.at_import:
        # Import runs such a line once, during whatever test comes first: its users are those who run what it is for.
        return [
            _users_of_names(mutant, found, root),
            found.tests_of(mutant.file, found.lines.get(mutant.file, {})),
            room,
        ]
    direct = found.tests_of(mutant.file, range(mutant.first_line, mutant.last_line + 1))
    if not direct:
        return [room, {test for test in everything if test.startswith(STARTING_PROCESSES)}]
    files = {test.partition("::")[0] for test in direct}
    return [direct, {test for test in everything if test.partition("::")[0] in files} if len(direct) < FEW else set()]


def _is_near(test: str, file: str) -> bool:
    return test.startswith(folder_of_tests(file))


def _users_of_names(mutant: Mutant, found: CoverageMap, root: Path) -> set[str]:
    """Tests that run a line, anywhere in the rooms, which mentions what the mutated statement defines."""
    names = _defined(mutant, (root / mutant.file).read_text("utf-8"))
    users = set()
    for file in found.lines:
        for number, words in _words(root / file).items():
            if names & words:
                users |= found.tests_of(file, [number])
    return users


def _defined(mutant: Mutant, text: str) -> set[str]:
    for node in ast.walk(ast.parse(text)):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "lineno", 0) <= mutant.line <= (getattr(node, "end_lineno", 0) or 0):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return {node.name}
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                return {name.id for t in targets if t for name in ast.walk(t) if isinstance(name, ast.Name)}
    return set()


@cache
def _words(path: Path) -> Mapping[int, frozenset[str]]:
    lines = path.read_text("utf-8").splitlines()
    return {number: frozenset(re.findall(r"\w+", line)) for number, line in enumerate(lines, 1)}
