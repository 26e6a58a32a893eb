"""Dice after equal steps in float32 and in bfloat16, and what a step costs: ``python -m Testing.bench.step_precision``.

The trainer, its loop and its default settings are used as they are. Both precisions start from the same weights and see
the same batches (the seed decides both), and are measured on the same held-out cases, segmented whole on the network's
grid. Every run is a process; results in ``--work`` are used again, so that an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from Testing.bench.held_out import content_of
from Testing.bench.labelled_image import data_folder
from Testing.bench.own_training import WARM_UP_STEPS
from Testing.bench.training_process import OWN, FailedRun, measured, thread_environment
from trainer.report.origin import origin
from trainer.training.precision_trial import BFLOAT16, FLOAT32

DATASETS = ("Dataset101_HippocampusT1", "Dataset112_ChestXrayLungCHN")
PRECISIONS = (FLOAT32, BFLOAT16)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write JSON; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.steps <= WARM_UP_STEPS:
        parser.error(f"--seeds must be 1 or more, --steps more than {WARM_UP_STEPS}, which are not timed")
    if options.data_root is None:
        sys.stderr.write("Testing.bench.step_precision: no datasets: give --data-root\n")
        return 2
    found: dict[str, Any] = origin("python -m Testing.bench.step_precision", arguments, options.threads) | {
        "steps": options.steps,
        "seeds": options.seeds,
        "datasets": {},
    }
    for name in options.datasets:
        try:
            runs = [_run(options, name, seed, kind) for seed in range(options.seeds) for kind in PRECISIONS]
        except FailedRun as error:
            sys.stderr.write(f"Testing.bench.step_precision: {error}\n")
            return 1
        found["datasets"][name] = {"runs": runs, **compared(runs)}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")
    sys.stdout.write(
        json.dumps({name: compared(of["runs"]) for name, of in found["datasets"].items()}, indent=1) + "\n"
    )
    return 0


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, ``differences`` of Dice (bfloat16 less float32) by seed, and ratios of the costs of a step.

    >>> pair = [{"seed": 0, "precision": p, "dice": d, "step_cpu_s": s, "step_wall_s": s}
    ...         for p, d, s in (("float32", 0.75, 1.0), ("bfloat16", 0.5, 0.25))]
    >>> compared(pair)["differences"], compared(pair)["step_cpu_ratio"]
    ([-0.25], 0.25)
    """
    exact, rounded = ([run for run in runs if run["precision"] == kind] for kind in PRECISIONS)
    of_seed = {run["seed"]: run["dice"] for run in exact}
    means = {
        f"{key}_{kind}": fmean(run[key] for run in own)
        for key in ("dice", "step_cpu_s", "step_wall_s")
        for kind, own in zip(PRECISIONS, (exact, rounded), strict=True)
    }
    return means | {
        "differences": [run["dice"] - of_seed[run["seed"]] for run in rounded],
        "step_cpu_ratio": means[f"step_cpu_s_{BFLOAT16}"] / means[f"step_cpu_s_{FLOAT32}"],
        "step_wall_ratio": means[f"step_wall_s_{BFLOAT16}"] / means[f"step_wall_s_{FLOAT32}"],
    }


def _run(options: argparse.Namespace, name: str, seed: int, precision: str) -> dict[str, Any]:
    directory = (options.data_root / name).resolve()
    folder = options.work.resolve() / name / f"{precision}_{seed}"
    request = {
        "datasets": [str(directory)],
        "content": content_of(directory),
        "settings": {"seed": seed, "threads": options.threads, "precision": precision},
        "steps": options.steps,
        "shares": [1.0],
        "folder": str(folder),
    }
    run = measured(OWN, request, folder, thread_environment(options.threads))
    kept = {key: run[key] for key in ("step_cpu_s", "step_wall_s", "patches")}
    return {"seed": seed, "precision": precision, "dice": run["points"][0]["dice"], **kept}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.step_precision", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write all figures there")
    parser.add_argument("--data-root", type=Path, default=data_folder(), help="folder of datasets")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("precision_bench"), help="folder for runs; kept")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
