"""The page on reliability says of the tests themselves what the newest published files say, or that none does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from Testing.hostile.campaign.suite_figures import suite_section


def write(docs: Path, name: str, **content: Any) -> None:
    (docs / "results").mkdir(exist_ok=True)
    (docs / "results" / name).write_text(json.dumps(content), encoding="utf-8")


def section(docs: Path) -> str:
    return "\n".join(suite_section(docs))


def mutation(share: float, tests: Any = "all", **more: Any) -> dict[str, Any]:
    whole = {"mutants": 200, "share": share, "interval": [0.8614, 0.9466]}
    results = {"all": whole, "rooms": {"a": 1, "b": 2}}
    return {"date": "2026-01-02", "commit": "abc", "tests": tests, "results": results, **more}


def coverage(covered: int, tests: Any = "all") -> dict[str, Any]:
    whole = {"branches": 2000, "covered_branches": covered}
    return {"date": "2026-01-03", "commit": "def", "tests": tests, "results": {"all": whole}}


def test_without_a_published_file_the_command_that_would_measure_it_is_told(tmp_path: Path) -> None:
    text = section(tmp_path)
    assert text.count("not measured yet") == 2
    assert "python -m Testing.bench.branch_coverage" in text
    assert "python -m Testing.bench.mutation" in text


def test_both_figures_stand_there_with_date_commit_and_file(tmp_path: Path) -> None:
    write(tmp_path, "mutation-2026-01-02.json", **mutation(0.91))
    write(tmp_path, "branch-coverage-2026-01-03.json", **coverage(1930))
    text = section(tmp_path)
    assert "| at least 95 % | 96.5 % | 2000 branches | 2026-01-03, commit `def`: [" in text
    assert "(results/branch-coverage-2026-01-03.json)" in text
    assert "| at least 90 % | 91.0 % (95 % interval 86 to 95) | 200 faults in 2 packages | 2026-01-02, commit" in text


@pytest.mark.parametrize(("covered", "says"), [(1899, "94.9 %"), (1900, "95.0 %")])
def test_what_is_wanted_is_not_reached_by_rounding(covered: int, says: str, tmp_path: Path) -> None:
    write(tmp_path, "branch-coverage-2026-01-03.json", **coverage(covered))
    assert f"| {says} |" in section(tmp_path)


def test_the_newest_file_of_all_tests_on_all_packages_counts(tmp_path: Path) -> None:
    write(tmp_path, "mutation-2026-01-01.json", **mutation(0.5))
    write(tmp_path, "mutation-2026-01-02.json", **mutation(0.6))
    write(tmp_path, "mutation-2026-01-03.json", **mutation(0.7, tests=["runtime"]))
    write(tmp_path, "mutation-2026-01-04.json", **mutation(0.8, rooms=["image"]))
    write(tmp_path, "branch-coverage-2026-01-03.json", **coverage(1930, tests=["Testing/runtime"]))
    text = section(tmp_path)
    assert "60.0 %" in text
    assert "not measured yet" in text
