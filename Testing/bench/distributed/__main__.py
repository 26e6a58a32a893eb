"""Faults of trainings in two processes: ``python -m Testing.bench.distributed --json FILE --folder DIR``. Linux.

Goes on where it was interrupted: what is in FILE is not done again. The exit code is 1 where a run did not end as one
that nothing had happened to, to the bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from Testing.bench.cohort.cohort_call import end_all, ended, processes_of
from Testing.bench.distributed.faults import ASK, FULL, KILL, RUN_LIMIT_S, spoilt_run
from Testing.bench.distributed.torchrun_call import Training
from trainer.report.origin import origin
from trainer.report.run_folder import write_json_file

FAULTS_OF_A_RUN = 4


def main(arguments: list[str] | None = None) -> int:
    """Do what is wanted and not there; the exit code."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    found |= origin("python -m Testing.bench.distributed", arguments, 1)
    runs: list[dict[str, Any]] = found.setdefault("runs", [])
    whole = _whole(options.folder)
    for kind, wanted in ((KILL, options.kills), (ASK, options.requests), (FULL, options.full_disks)):
        while (left := wanted - sum(run["faults"] for run in runs if run["kind"] == kind)) > 0:
            # A disk that is full is still so after a restart.
            training = Training(options.folder, f"run{len(runs)}", restarts=1 if kind == FULL else 50)
            _remove(training)
            runs.append(spoilt_run(training, kind, min(left, FAULTS_OF_A_RUN), len(runs), whole))
            sys.stderr.write(f"{runs[-1]}\n")
            write_json_file(options.json, found)
    names = ("faults", "of_torchrun", "in_training", "unreadable", "lost", "left_over", "silent")
    sums = {kind: {name: sum(run[name] for run in runs if run["kind"] == kind) for name in names}
            for kind in (KILL, ASK, FULL)}  # fmt: skip
    sys.stdout.write(json.dumps(sums, indent=1) + "\n")
    return int(any(not run["equal"] or run["unreadable"] or run["lost"] or run["silent"] for run in runs))


def _whole(folder: Path) -> dict[str, Any]:
    """The outcome of a run that nothing happens to."""
    training = Training(folder, "whole")
    if not training.output.exists():
        agent = training.begin()
        if not ended(agent, RUN_LIMIT_S) or agent.returncode:
            end_all(processes_of(agent.pid))
            raise SystemExit(f"the run without faults failed: {training.log}")
    return training.outcome()


def _remove(training: Training) -> None:
    """What a call that was interrupted has left of a run."""
    shutil.rmtree(training.output.with_name(f"{training.name}.run"), ignore_errors=True)
    for path in (training.output, training.log):
        path.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.distributed", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="counts, also of earlier calls")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for data and runs")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="of processes and of torchrun; 0: none")
    parser.add_argument("--requests", type=int, default=3, metavar="N", help="to end (SIGTERM); 0: none")
    parser.add_argument("--full-disks", type=int, default=2, metavar="N", help="0: none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
