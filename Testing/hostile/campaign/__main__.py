"""Bad input, faults and attacks, counted: ``python -m Testing.hostile.campaign``.

Every row of the table tries many inputs or events; a case that ends otherwise than promised is a failure. OUT keeps a
line for every case, and the same command goes on where it was interrupted. ``--only NAME --inputs INPUT`` tries single
cases again, in another folder. The exit code is 1 where a row fails.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.finding import commits, finding
from Testing.hostile.campaign.journal import Settings
from Testing.hostile.campaign.publication import publish, summary
from Testing.hostile.campaign.row_run import run_apart, run_here
from trainer.report.origin import machine_facts
from trainer.report.published_json import write_published


def main(arguments: list[str] | None = None) -> int:
    """Run, write, print the table; the exit code."""
    options = _parser().parse_args(arguments)
    # Given twice, a row would be counted twice.
    options.only = list(dict.fromkeys(options.only or TRIALS))
    # Equal to the bit: what a training is compared with must not have timed its way into another precision.
    os.environ.setdefault("MULTITASKSEG_TRAINED_IN", "float32")
    out = options.out or Path(tempfile.mkdtemp(prefix="campaign-out-"))
    settings = Settings(options.share, options.seed, tuple(options.inputs))
    run = run_here if options.one_process else run_apart
    try:
        settings.require_known({case for name in options.only for case in TRIALS[name].cases()})
        _require_publishable(options)
        settings.keep(out)
        for name in options.only:
            run(name, out, sys.stderr)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    content: dict[str, Any] = {
        "command": _command(options),
        "commit": commits(options.only, out),
        "machine": machine_facts(0),
        "date": datetime.date.today().isoformat(),
        "seed": options.seed,
        "share": options.share,
        "inputs": options.inputs,
        "rows": [finding(name, out) for name in options.only],
    }
    write_published(out / "campaign.json", content)
    if options.publish:
        publish(content, options.publish)
    sys.stdout.write(summary(content))
    return 1 if any(row["cases_failed"] for row in content["rows"]) else 0


def _command(options: argparse.Namespace) -> str:
    """What has to be called for the same figures."""
    words = ["python -m Testing.hostile.campaign", f"--share {options.share:g}", f"--seed {options.seed}"]
    words += [f"--only {' '.join(options.only)}"] if options.only != list(TRIALS) else []
    words += [f"--inputs {shlex.join(options.inputs)}"] if options.inputs else []
    return " ".join(words)


def _require_publishable(options: argparse.Namespace) -> None:
    """Refuse to publish a part: the page would lose all the other rows.

    Raises:
        ValueError: rows or cases are left out.
    """
    if options.publish and (options.inputs or set(options.only) != set(TRIALS)):
        raise ValueError("only a run of all rows can be published: leave out --only and --inputs")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.hostile.campaign", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each row, at least one (default: 1)")
    parser.add_argument("--only", nargs="+", action="extend", choices=list(TRIALS), default=[], help="these rows alone")
    parser.add_argument("--inputs", nargs="+", action="extend", default=[], metavar="INPUT", help="these cases alone")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of cases (default: 0)")
    parser.add_argument("-o", "--out", type=Path, metavar="OUT", help="folder that keeps every step of the run")
    parser.add_argument("--one-process", action="store_true", help="all in this process: quicker, but a crash ends it")
    parser.add_argument("--publish", type=Path, metavar="DOCS", help="write the dated JSON and the page there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
