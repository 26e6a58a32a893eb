"""How the cost grows with the size of the volume and the number of classes: ``python -m Testing.bench.growth``.

A network of the released 3-D architecture with random weights; every size and class count has a process of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from Testing.bench.contender import OURS, WHOLE
from Testing.bench.growth_law import exponent, tell
from Testing.bench.labelled_image import synthetic_voxels
from Testing.bench.one_run import in_process_of_its_own
from Testing.bench.untrained_model import write_untrained_model
from trainer.report.origin import origin

SIZES = ((40, 64, 64), (80, 96, 96), (120, 128, 128), (160, 192, 192), (240, 256, 256))
CLASSES = (2, 5, 20, 60)
SIZE_OF_CLASSES = (120, 128, 128)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON and a plot; the exit code."""
    options = _parser().parse_args(arguments)
    sizes = [tuple(options.volume)] if options.volume else list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        by_size = [_measured(size, options.classes, options, Path(folder)) for size in sizes]
        counts = () if options.volume else CLASSES
        by_classes = [_measured(SIZE_OF_CLASSES, count, options, Path(folder)) for count in counts]
    source = origin("python -m Testing.bench.growth", arguments, options.threads)
    found: dict[str, Any] = {**source, "engine": options.engine, "by_size": by_size, "by_classes": by_classes}
    if len(by_size) > 1:
        voxels, cpu, peak = ([run[key] for run in by_size] for key in ("voxels", "cpu_s", "peak_mb"))
        found["cpu_exponent"], found["memory_exponent"] = exponent(voxels, cpu), exponent(voxels, peak)
    tell(found, options.json)
    if options.plot:
        _plot(found, options.plot)
    return 0


def _measured(shape: tuple[int, ...], classes: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    z, y, x = shape
    model = write_untrained_model(folder / "model.mts.safetensors", classes)
    np.save(folder / "voxels.npy", synthetic_voxels((z, y, x)))
    request = {
        "engine": options.engine,
        "model": str(model),
        "task": "task",
        "voxels": str(folder / "voxels.npy"),
        "labels": str(folder / "labels.npy"),
        "patch": [0, 0, 0],
        "threads": options.threads,
    }
    run = in_process_of_its_own(request, folder)
    sys.stderr.write(f"{shape} {classes} classes: {run}\n")
    return {"size_zyx": list(shape), "voxels": prod(shape), "classes": classes, **run}


def _plot(found: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, key, label in ((axes[0], "cpu_s", "CPU seconds"), (axes[1], "peak_mb", "peak MB above the model")):
        axis.loglog([r["voxels"] for r in found["by_size"]], [r[key] for r in found["by_size"]], "o-")
        axis.set(xlabel="voxels", ylabel=label)
    axes[2].plot([r["classes"] for r in found["by_classes"]], [r["cpu_s"] for r in found["by_classes"]], "o-")
    axes[2].set(xlabel="classes", ylabel="CPU seconds", ylim=(0, None))
    figure.savefig(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.growth", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot there (.svg or .png)")
    parser.add_argument("--volume", type=int, nargs=3, metavar=("Z", "Y", "X"), help="this size alone")
    help_ = f"{WHOLE} adds preparing, finished maps and their order to the network and the verdict"
    parser.add_argument("--engine", choices=[OURS, WHOLE], default=OURS, help=help_)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
