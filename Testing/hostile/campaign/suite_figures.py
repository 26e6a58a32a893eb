"""How much of the code the tests run, and how many faults in it they notice: from the published files of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from Testing.bench.branch_coverage import COMMAND as COVERAGE_COMMAND
from Testing.bench.branch_coverage import FILES as COVERAGE_FILES
from Testing.bench.mutation.publication import FILES as MUTATION_FILES
from Testing.bench.mutation.publication import PAGE as MUTATION_PAGE
from trainer.report.markdown_table import table

FOLDER = "results"
HEADERS = ["What", "Wanted", "Found", "Of", "When, and by what"]
LEAST_BRANCHES, LEAST_MUTANTS = 0.95, 0.9
MUTATION_COMMAND = "python -m Testing.bench.mutation -o OUT --publish docs/results"


def suite_section(docs: Path) -> list[str]:
    """Lines of the page, from the newest files below a folder of documents."""
    rows = [_branches(docs / FOLDER), _mutants(docs / FOLDER)]
    return ["## How good the tests are\n", table(HEADERS, rows), ""]


def _branches(folder: Path) -> list[Any]:
    """Branches of the runtime."""
    what, wanted = "branches of the runtime that the tests take", f"at least {100 * LEAST_BRANCHES:.0f} %"
    newest = _newest(folder, COVERAGE_FILES)
    if newest is None:
        return [what, wanted, "not measured yet", "–", f"`{COVERAGE_COMMAND}`"]
    path, content = newest
    found = content["results"]["all"]
    share = f"{_rounded_down(found['covered_branches'] / found['branches'])} %"
    return [what, wanted, share, f"{found['branches']} branches", _origin(path.name, path, content)]


def _mutants(folder: Path) -> list[Any]:
    """Faults put into the code."""
    what, wanted = "small faults in the code that the tests notice", f"at least {100 * LEAST_MUTANTS:.0f} %"
    newest = _newest(folder, MUTATION_FILES)
    if newest is None:
        return [what, wanted, "not measured yet", "–", f"`{MUTATION_COMMAND}`"]
    _, content = newest
    found = content["results"]["all"]
    low, high = (round(100 * bound) for bound in found["interval"])
    share = f"{_rounded_down(found['share'])} % (95 % interval {low} to {high})"
    of = f"{found['mutants']} faults in {len(content['results']['rooms'])} packages"
    return [what, wanted, share, of, _origin("the page of all", folder / MUTATION_PAGE, content)]


def _newest(folder: Path, pattern: str) -> tuple[Path, Mapping[str, Any]] | None:
    """The latest file of a run of all tests on all of the code, and what it holds."""
    for path in sorted(folder.glob(pattern), reverse=True):
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # Files of before the packages were told are of all of them.
        if content["tests"] == "all" and content.get("rooms", "all") == "all":
            return path, content
    return None


def _rounded_down(share: float) -> float:
    """In percent with one decimal: what is wanted is not reached by rounding.

    >>> _rounded_down(0.94999), _rounded_down(0.95)
    (94.9, 95.0)
    """
    return int(1000 * share + 1e-9) / 10


def _origin(words: str, path: Path, content: Mapping[str, Any]) -> str:
    return f"{content['date']}, commit `{content['commit']}`: [{words}]({FOLDER}/{path.name})"
