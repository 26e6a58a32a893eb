"""Which branches of the runtime the tests take: ``python -m Testing.bench.branch_coverage -o OUT``.

Runs the tests once with coverage.py, prints lines and branches by package, and writes them to OUT. Processes
that tests start and that end by themselves count. One that is killed tells nothing, and so ends every worker of Slicer:
what it ran counts only where another process ran it, too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.report.origin import origin
from trainer.report.published_json import write_published

COMMAND = "python -m Testing.bench.branch_coverage -o OUT --publish docs/results"
FILES = "branch-coverage-*.json"
REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIME = "MultiTaskSeg/MultiTaskSegLib/runtime"
TESTS_FAILED = 1
FAILED = ("--last-failed", "--last-failed-no-failures", "none")
COUNTS = {
    "lines": "num_statements", "covered_lines": "covered_lines",
    "branches": "num_branches", "covered_branches": "covered_branches",
}  # fmt: skip
SETTINGS = """[run]
branch = true
parallel = true
patch = subprocess
sigterm = true
source = {source}
data_file = {data}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run, write, print; the exit code is 1 where a test fails."""
    options = _parser().parse_args(arguments)
    if options.publish and options.tests:
        sys.stderr.write("only a run of all tests can be published: leave out --tests\n")
        return 2
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    status = run_tests(out, options.tests, options.jobs)
    content: dict[str, Any] = {
        **origin(
            "python -m Testing.bench.branch_coverage",
            ["-o", "OUT", *(["--tests", *options.tests] * bool(options.tests))],
        ),
        "date": datetime.date.today().isoformat(),
        "tests": options.tests or "all",
        "results": by_package(measured(out)),
    }
    write_published(out / "branch-coverage.json", content)
    sys.stdout.write(summary(content["results"]))
    if status:
        sys.stderr.write(f"pytest ended with {status}: nothing is published\n")
        return 1
    if options.publish:
        write_published(options.publish / FILES.replace("*", content["date"]), content)
    return 0


def run_tests(out: Path, tests: Sequence[str], jobs: int = 1) -> int:
    """Run tests, all of them where none are named, with a recording in a folder; the exit status of pytest.

    What fails is tried once more, recorded too; that status counts then.

    Args:
        out: the folder.
        tests: folders or files.
        jobs: processes at a time, each with whole files of tests.
    """
    for left in out.glob(".coverage*"):
        left.unlink()
    shutil.rmtree(out / "cache", ignore_errors=True)
    settings = SETTINGS.format(source=REPOSITORY / RUNTIME, data=out / ".coverage")
    (out / "coveragerc").write_text(settings, encoding="utf-8", newline="\n")
    beside = ["-n", str(jobs), "--dist", "loadfile", "--no-loadscope-reorder"] if jobs > 1 else []
    recorded = ["run", "-m", "pytest", "-q", "-o", f"cache_dir={out / 'cache'}"]
    # Two threads that start at the same time cannot both be traced (CPython 3.11: the second one raises).
    status = _coverage(out, *recorded, *beside, *tests)
    return _coverage(out, *recorded, *FAILED, *tests) if status == TESTS_FAILED else status


def measured(out: Path) -> Mapping[str, Mapping[str, int]]:
    """By file, relative to the repository, the counts of coverage.py.

    Raises:
        RuntimeError: nothing was recorded.
    """
    report = out / "files.json"
    if _coverage(out, "combine", "-q") or _coverage(out, "json", "-q", "-o", str(report)):
        raise RuntimeError(f"coverage.py has recorded nothing in {out}: did pytest start?")
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    return {
        Path(os.path.relpath(REPOSITORY / name, REPOSITORY)).as_posix(): found["summary"]
        for name, found in files.items()
    }


def by_package(files: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Sums of files by the package of the runtime that they are in, and of all of them.

    >>> file = dict(num_statements=9, covered_lines=8, num_branches=4, covered_branches=3)
    >>> found = by_package({f"{RUNTIME}/ood/verdict.py": file, f"{RUNTIME}/cli.py": file})
    >>> list(found["packages"]), found["all"]["covered_branches"], found["all"]["branches"]
    (['.', 'ood'], 6, 8)
    """
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for name, found in files.items():
        package = Path(name).parent.relative_to(RUNTIME).as_posix()
        for key, theirs in COUNTS.items():
            for place in ("all", package):
                sums[place][key] += found[theirs]
    packages = {name: found for name, found in sorted(sums.items()) if name != "all"}
    return {"all": sums["all"], "packages": packages}


def summary(found: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    lines = [f"{'package':<14}{'lines':>8}{'covered':>9}{'branches':>10}{'covered':>9}{'share':>8}"]
    for name, counts in {**found["packages"], "all": found["all"]}.items():
        share = f"{100 * counts['covered_branches'] / counts['branches']:.1f} %" if counts["branches"] else "–"
        lines.append(
            f"{name:<14}{counts['lines']:>8}{counts['covered_lines']:>9}{counts['branches']:>10}"
            f"{counts['covered_branches']:>9}{share:>8}"
        )
    return "\n".join(lines) + "\n"


def _coverage(out: Path, command: str, *words: str) -> int:
    settings = ["--rcfile", str(out / "coveragerc")]
    done = subprocess.run([sys.executable, "-m", "coverage", command, *settings, *words], cwd=REPOSITORY, check=False)
    return done.returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.branch_coverage", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the recording and the figures")
    parser.add_argument("--tests", nargs="+", default=[], metavar="FOLDER", help="tests in these folders alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="write the dated JSON there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
