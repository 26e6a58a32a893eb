"""Our engine against MONAI's and nnU-Net's on the same weights and images: ``python -m Testing.bench.inference``.

Every run has a process of its own; engines take turns within a round. CPU seconds count all threads of the process,
with waiting threads asleep.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.contender import ENGINES, OURS, OVERLAP, MissingPackage, require
from Testing.bench.labelled_image import LabelledImage, data_folder, labelled_images, synthetic_voxels
from Testing.bench.one_run import in_process_of_its_own
from trainer.report.origin import origin

Runs = dict[str, list[dict[str, float]]]
FIGURES = ("cpu_s", "wall_s", "peak_mb")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, write JSON; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        require(options.engines)
    except MissingPackage as error:
        sys.stderr.write(f"Testing.bench.inference: {error}\n")
        return 2
    path = options.model or released_model(planar=False)
    predictor = Predictor.load(path, "cpu")
    model = predictor.model
    task = model.manifest.task(options.task) if options.task else model.manifest.tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(path, options, Path(folder))
        runs = bench.rounds(task)
        images = labelled_images(predictor, options.data, options.images) if options.data else iter(())
        dice = {image.name: bench.dice(image) for image in images}
    facts = {
        "model": {"name": model.manifest.name, "sha256": model.digest},
        "task": task.name,
        "classes": 1 + len(task.labels),
        "volume_zyx": options.volume,
        "patch_zyx": options.patch,
        "overlap": OVERLAP,
        "rounds": options.rounds,
    }
    found = {
        **origin("python -m Testing.bench.inference", arguments, options.threads),
        **facts,
        **summary(runs, dice),
        "runs": runs,
        "dice": dice,
    }
    sys.stdout.write(table(found) + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


class _Bench:
    def __init__(self, model: Path, options: argparse.Namespace, folder: Path) -> None:
        self._model, self._options, self._folder = model, options, folder

    def rounds(self, task: TaskInfo) -> Runs:
        """Every engine once per round on the synthetic image."""
        voxels = synthetic_voxels(tuple(self._options.volume))
        runs: Runs = {name: [] for name in self._options.engines}
        for number in range(self._options.rounds):
            for name in self._options.engines:
                sys.stderr.write(f"round {number + 1} of {self._options.rounds}: {name}\n")
                runs[name].append(self._run(name, task, voxels)[0])
        return runs

    def dice(self, image: LabelledImage) -> dict[str, float]:
        """Mean Dice of every engine on a labelled image."""
        sys.stderr.write(f"{image.name}\n")
        voxels = np.ascontiguousarray(image.prepared.voxels)
        return {name: image.dice(self._run(name, image.task, voxels)[1]) for name in self._options.engines}

    def _run(self, name: str, task: TaskInfo, voxels: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        image, labels = self._folder / "voxels.npy", self._folder / "labels.npy"
        np.save(image, voxels)
        request = {
            "engine": name,
            "model": str(self._model),
            "task": task.name,
            "voxels": str(image),
            "labels": str(labels),
            "patch": self._options.patch,
            "threads": self._options.threads,
        }
        return in_process_of_its_own(request, self._folder), np.load(labels)


def summary(runs: Runs, dice: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds, and ratios of ours to the others': the median of each round's ratio."""
    result: dict[str, Any] = {
        "medians": {name: {key: median(run[key] for run in of) for key in FIGURES} for name, of in runs.items() if of}
    }
    shares = [run["labels_s"] / run["cpu_s"] for run in runs.get(OURS, []) if "labels_s" in run]
    if shares:
        result["label_share"] = median(shares)
    for name in runs:
        if name != OURS and OURS in runs and runs[name]:
            for key, unit in (("cpu_ratio", "cpu_s"), ("memory_ratio", "peak_mb")):
                pairs = zip(runs[OURS], runs[name], strict=True)
                result[f"{key}_vs_{name.replace('-', '_')}"] = median(a[unit] / b[unit] for a, b in pairs)
            differences = [values[OURS] - values[name] for values in dice.values()]
            if differences:
                result[f"dice_difference_vs_{name.replace('-', '_')}"] = float(np.mean(differences))
    return result


def table(found: dict[str, Any]) -> str:
    """For people."""
    size = " x ".join(str(n) for n in found["volume_zyx"])
    lines = [
        f"{size} voxels, {found['classes']} classes, patches {found['patch_zyx']}, {found['rounds']} rounds",
        f"{'engine':22}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'Dice':>8}",
    ]
    for name, medians in found["medians"].items():
        scores = [values[name] for values in found["dice"].values()]
        dice = f"{np.mean(scores):8.4f}" if scores else ""
        lines.append(f"{name:22}" + "".join(f"{medians[key]:9.2f}" for key in FIGURES) + dice)
    lines += [f"{key} {value:.4f}" for key, value in found.items() if "_vs_" in key or key == "label_share"]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.inference", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--volume", type=int, nargs=3, default=[160, 192, 192], metavar=("Z", "Y", "X"))
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96], metavar=("Z", "Y", "X"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=[OURS, "monai", "nnunet"])
    parser.add_argument("--model", type=Path, help="model file; the released 3-D model by default")
    parser.add_argument("--task", help="whose classes to segment; the model's first task by default")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="held-out images per task for Dice")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder of datasets with labels")
    return parser


if __name__ == "__main__":
    sys.exit(main())
