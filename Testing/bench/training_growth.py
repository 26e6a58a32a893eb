"""How the cost of a training step grows with datasets and classes: ``python -m Testing.bench.training_growth``.

Banded volumes of one size, all defaults of the trainer; every count has a process of its own. The regions of the
datasets cannot hold each other's structures, so that the loss asks for the absence of every other task: the dearest
case.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from Testing.bench.banded_dataset import write_banded_dataset
from Testing.bench.growth_law import exponent, tell
from Testing.bench.training_process import OWN, measured, thread_environment
from trainer.report.origin import origin

DATASETS, CLASSES = (1, 2, 4, 8), (2, 5, 20, 60)
SHAPE = (36, 64, 48)
FIGURES = ("step_cpu_s", "step_wall_s", "loader_wait_share", "peak_mb")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON and a plot; the exit code."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_datasets = [_measured([1] * count, options, folder / f"datasets{count}") for count in options.datasets]
        by_classes = [_measured([count - 1], options, folder / f"classes{count}") for count in options.classes]
    found = {
        **origin("python -m Testing.bench.training_growth", arguments, options.threads),
        "shape_zyx": SHAPE,
        "steps": options.steps,
        "precision": options.precision,
        "by_datasets": by_datasets,
        "by_classes": by_classes,
        "dataset_exponent": exponent([r["datasets"] for r in by_datasets], [r["step_cpu_s"] for r in by_datasets]),
    }
    tell(found, options.json)
    if options.plot:
        _plot(found, options.plot)
    return 0


def _measured(labels: list[int], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians over rounds for one dataset per entry, with so many labels each."""
    datasets = [write_banded_dataset(folder, number, count, SHAPE) for number, count in enumerate(labels, start=1)]
    request = {
        "datasets": [str(path) for path in datasets],
        "steps": options.steps,
        "shares": [],
        "settings": {"threads": options.threads, "precision": options.precision},
        "folder": str(folder / "run"),
    }
    environment = thread_environment(options.threads)
    runs = [measured(OWN, request, folder / f"round{number}", environment) for number in range(options.rounds)]
    figures = {key: median(run[key] for run in runs) for key in FIGURES}
    sys.stderr.write(f"{len(labels)} datasets, {runs[0]['outputs']} outputs: {figures}\n")
    return {"datasets": len(labels), "classes": 1 + labels[0], "outputs": runs[0]["outputs"], **figures}


def _plot(found: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, runs, key in ((left, found["by_datasets"], "datasets"), (right, found["by_classes"], "classes")):
        costs = [run["step_cpu_s"] for run in runs]
        axes.plot([run[key] for run in runs], costs, "o-")
        axes.set(xlabel=key, ylabel="CPU seconds per step", ylim=(0, 1.1 * max(costs, default=1.0)))
    figure.savefig(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.training_growth", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot there (.svg or .png)")
    parser.add_argument("--datasets", type=int, nargs="*", default=list(DATASETS), metavar="N")
    parser.add_argument("--classes", type=int, nargs="*", default=list(CLASSES), metavar="N")
    parser.add_argument("--steps", type=int, default=15, help="of each run; the first three are not counted")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
