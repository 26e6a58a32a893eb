"""Faults put into the code at random, and whether a test notices: ``python -m Testing.bench.mutation -o OUT``.

Works in copies of the checked-out commit. The first run of a commit records which test runs which line (the whole
suite once, with coverage); then come the chosen tests without any mutation and every mutant. All of it is kept in OUT,
and the same command with ``--resume`` goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from Testing.bench.mutation.campaign import Campaign, Settings
from Testing.bench.mutation.checkout_copy import CheckoutCopy
from Testing.bench.mutation.finding import equivalents, findings
from Testing.bench.mutation.publication import publish
from Testing.bench.mutation.sample import ROOMS
from trainer.report.origin import machine_facts
from trainer.report.published_json import write_published

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = "MULTITASKSEG_DATA"


def main(arguments: list[str] | None = None) -> int:
    """Run, write, say the share; the exit code is 1 where it is below the wanted one."""
    options = _parser().parse_args(arguments)
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    if changed:
        sys.stderr.write(f"uncommitted changes are not part of the run:\n{changed}\n")
    # The copies lie elsewhere: tests would not find the data beside them.
    data = Path(os.environ.get(DATA) or REPOSITORY.parent / "shared" / "data")
    if data.is_dir():
        os.environ[DATA] = str(data.resolve())
    rooms = {room: ROOMS[room] for room in options.rooms}
    settings = Settings(commit, options.seed, options.mutants, options.limit, rooms, tuple(options.tests))
    try:
        campaign = Campaign(REPOSITORY, settings, options.out)
        with tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as folder:
            copies = [CheckoutCopy.make(REPOSITORY, commit, Path(folder) / f"copy{n}") for n in range(options.jobs)]
            outcomes = campaign.run(copies, options.resume)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    content: dict[str, Any] = {
        "command": _command(options),
        "commit": commit,
        "machine": machine_facts(0),
        "date": datetime.date.today().isoformat(),
        "seed": options.seed,
        "limit_s": options.limit,
        "rooms": "all" if set(options.rooms) == set(ROOMS) else options.rooms,
        "tests": options.tests or "all",
        "real_data": data.is_dir(),
        "results": findings(outcomes, equivalents()),
    }
    write_published(options.out / "mutation.json", content)
    if options.publish:
        publish(content, options.publish)
    whole = content["results"]["all"]
    sys.stdout.write(f"{whole['noticed']} of {whole['mutants']} mutants noticed, {whole['timeout']} of them by time\n")
    return 0 if (whole["share"] or 0.0) >= options.at_least else 1


def _command(options: argparse.Namespace) -> str:
    """What has to be called for the same figures."""
    words = ["python -m Testing.bench.mutation", f"--mutants {options.mutants}", f"--seed {options.seed}"]
    words += [f"--limit {options.limit:g}"]
    words += [f"--rooms {' '.join(options.rooms)}"] if set(options.rooms) != set(ROOMS) else []
    words += [f"--tests {' '.join(options.tests)}"] if options.tests else []
    return " ".join(words)


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.mutation", description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder that keeps every step of the run")
    parser.add_argument("--mutants", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--rooms", nargs="+", choices=list(ROOMS), default=list(ROOMS), help="these packages alone")
    parser.add_argument(
        "--tests", nargs="+", default=[], metavar="FOLDER", help="tests in these folders of Testing alone"
    )
    parser.add_argument("--limit", type=float, default=120.0, metavar="SECONDS", help="of tests for each mutant")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in a copy of its own")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="write the dated JSON and the page there, too")
    parser.add_argument("--at-least", type=float, default=0.0, metavar="SHARE", help="exit with 1 below this share")
    return parser


if __name__ == "__main__":
    sys.exit(main())
