"""Faults and figures of cohorts: ``python -m Testing.bench.cohort --json FILE --folder DIR``. Linux, with Ray.

Goes on where it was interrupted: what is in FILE is not measured again; more ``--kills`` are added to those that are
there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from Testing.bench.cohort.corrupt_case import corrupt_among
from Testing.bench.cohort.cost_model import ASSUMPTIONS, foretold, million
from Testing.bench.cohort.long_run import alone_s, long_run
from Testing.bench.cohort.lost_host import WAYS, lost_host
from Testing.bench.cohort.random_kills import killed_cohort
from Testing.bench.cohort.workers_compared import workers_compared
from Testing.hosts.two_hosts import missing
from Testing.runtime.tiny_model import write_tiny_model
from trainer.report.origin import origin

KILLS_OF_A_COHORT = 5
SHARES = (40, 10)  # of the longest run: those from which it is foretold


def main(arguments: list[str] | None = None) -> int:
    """Measure what is wanted and not there; the exit code: 1 where a case was lost or doubled."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    found |= origin("python -m Testing.bench.cohort", arguments, 1)
    model = options.folder / "tiny.mts.safetensors"
    if not model.exists():
        write_tiny_model(model)
    _kill(found, options, model)
    if options.files and found.get("corrupt", {}).get("cases") != options.files:
        found["corrupt"] = corrupt_among(options.folder, model, options.files)
        _keep(found, options.json)
    if options.hosts:
        _lose_hosts(found, options, model)
    _run_long(found, options, model)
    if options.cases and "workers" not in found:
        found["workers"] = workers_compared(options.folder, options.cases, options.rounds)
        _keep(found, options.json)
    _add_up(found)
    _keep(found, options.json)
    sys.stdout.write(json.dumps({key: found[key] for key in found if key != "machine"}, indent=1) + "\n")
    runs = (*found["kills"], *found.get("lost_hosts", ()))
    return int(any(sum(one[key] for key in ("lost", "doubled", "changed", "different")) for one in runs))


def _kill(found: dict[str, Any], options: argparse.Namespace, model: Path) -> None:
    kills = found.setdefault("kills", [])
    while (left := options.kills - sum(one["worker_kills"] + one["driver_kills"] for one in kills)) > 0:
        kills.append(killed_cohort(options.folder, model, len(kills), min(left, KILLS_OF_A_COHORT)))
        sys.stderr.write(f"{kills[-1]}\n")
        _keep(found, options.json)


def _lose_hosts(found: dict[str, Any], options: argparse.Namespace, model: Path) -> None:
    runs = found.setdefault("lost_hosts", [])
    if reason := missing():
        sys.stderr.write(f"no host is lost: {reason}\n")
        return
    for way in WAYS:
        if not any(run["way"] == way for run in runs):
            runs.append(lost_host(options.folder, model, way))
            sys.stderr.write(f"{runs[-1]}\n")
            _keep(found, options.json)


def _run_long(found: dict[str, Any], options: argparse.Namespace, model: Path) -> None:
    runs = found.setdefault("long_runs", [])
    if options.volumes and not any(run["cases"] == options.volumes for run in runs):
        runs.clear()
        found["alone_s"] = alone_s(options.folder, model)
    for count in (*(options.volumes // share for share in SHARES), options.volumes):
        if count and not any(run["cases"] == count for run in runs):
            runs.append(long_run(options.folder, model, count))
            sys.stderr.write(f"{ {key: value for key, value in runs[-1].items() if key != 'memory'} }\n")
            _keep(found, options.json)


def _add_up(found: dict[str, Any]) -> None:
    runs = found["long_runs"]
    if len(runs) < len(SHARES) + 1:
        return
    longest = runs[-1]
    found["foretold"] = foretold(runs[:-1], longest["cases"])
    found["overhead_ms"] = 1000 * (longest["cases_s"] / (longest["cases"] - 1) - found["alone_s"])
    if "workers" in found:
        found["million"] = million(runs, found["workers"]["scan_s"], found["workers"]["result_bytes"])
        found["assumptions"] = list(ASSUMPTIONS)


def _keep(found: dict[str, Any], path: Path) -> None:
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shutil.move(aside, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.cohort", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="figures, also of earlier calls")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for images and results")
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="at random, of workers and drivers; 0: none")
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="two of them corrupt; 0: none")
    parser.add_argument("--hosts", action="store_true", help="two of them, of which one is lost; needs root")
    parser.add_argument("--volumes", type=int, default=10_000, metavar="N", help="of the longest run; 0: none")
    parser.add_argument("--cases", type=int, default=24, metavar="N", help="for one worker against two; 0: none")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of one worker against two")
    return parser


if __name__ == "__main__":
    sys.exit(main())
