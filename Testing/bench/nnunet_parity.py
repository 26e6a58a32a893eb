"""nnU-Net's own prediction and ours, voxel by voxel: ``python -m Testing.bench.nnunet_parity MODEL IMAGE...``.

Needs an environment with nnunetv2 (``pip install nnunetv2`` beside this project's own). MODEL is a results folder; an
IMAGE with several channels is given as its files joined by commas. nnU-Net reads and writes files by its own reader,
so that what is compared are label maps as they lie on the disk. ``--made`` adds what `parity_image` makes of the first
image. Each engine runs in a process of its own, which tells its CPU seconds and its peak of memory beyond what it held
before the prediction; where one gives up, its last words are told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.channel_set import joined
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from MultiTaskSegLib.runtime.model.released import ENDING
from Testing.bench.cpu_clock import used_cpu_s
from Testing.bench.parity_image import MADE, written
from Testing.bench.process_memory import PeakMemory
from trainer.report.origin import origin

ENGINES = ("ours", "nnunet")
PROGRAM = "Testing.bench.nnunet_parity"
AS_IT_IS = "as it is"
Labels = NDArray[np.uint16]


def ours(model: Path, channels: list[str], *, mirror: bool) -> tuple[Labels, dict[str, float]]:
    """Labels ``(Z, Y, X)`` by the model file that an import wrote, and what they cost."""
    predictor = ImportedPredictor(load_imported(model), torch.device("cpu"), mirror=mirror)
    volume = joined([read_image(name) for name in channels])
    memory, started_s, clock_s = PeakMemory(), used_cpu_s(), time.monotonic()
    labels = predictor.segment(volume).labels
    return labels.astype(np.uint16), _cost(memory, started_s, clock_s)


def theirs(model: Path, folds: list[str], channels: list[str], *, mirror: bool) -> tuple[Labels, dict[str, float]]:
    """Labels ``(Z, Y, X)`` by nnU-Net's predictor, out of the file that its writer writes, and what they cost."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]

    predictor = nnUNetPredictor(
        use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False, perform_everything_on_device=False
    )
    predictor.initialize_from_trained_model_folder(str(model), folds or None)
    files = predictor.plans_manager.image_reader_writer_class()
    voxels, properties = files.read_images(channels)
    memory, started_s, clock_s = PeakMemory(), used_cpu_s(), time.monotonic()
    found = predictor.predict_single_npy_array(voxels, properties)
    cost = _cost(memory, started_s, clock_s)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"labels{predictor.dataset_json['file_ending']}")
        files.write_seg(found, path, properties)
        labels = sitk.GetArrayFromImage(sitk.ReadImage(path))
    return (labels if labels.ndim == 3 else labels[None]).astype(np.uint16), cost


def _cost(memory: PeakMemory, started_s: float, clock_s: float) -> dict[str, float]:
    return {
        "cpu_s": used_cpu_s() - started_s,
        "wall_s": time.monotonic() - clock_s,
        "peak_mb": memory.above_start_mb(),
    }


def compare(arguments: argparse.Namespace, imported: Path, channels: list[Path], kind: str) -> dict[str, Any]:
    """Run both engines on an image and compare their labels."""
    found: dict[str, Any] = {"image": ",".join(file.name for file in channels), "kind": kind}
    labels = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine, model in zip(ENGINES, (imported, arguments.model), strict=True):
            output = Path(folder) / f"{engine}.npy"
            command = [sys.executable, "-m", PROGRAM, str(model), ",".join(map(str, channels))]
            command += ["--engine", engine, "--output", str(output), *(["--mirror"] if arguments.mirror else [])]
            command += ["--folds", *arguments.folds] if arguments.folds else []
            told = subprocess.run(command, check=False, capture_output=True, text=True)
            if told.returncode:
                found[engine] = {"gave_up": told.stderr.strip().splitlines()[-1]}
            else:
                found[engine] = json.loads(told.stdout.splitlines()[-1])
                labels[engine] = np.load(output)
    return found | (differences(labels["ours"], labels["nnunet"]) if len(labels) == len(ENGINES) else {})


def differences(one: Labels, other: Labels) -> dict[str, Any]:
    """How many voxels there are, how many differ, and which labels there are; grids that differ are said alone."""
    if one.shape != other.shape:
        return {"shapes": [list(one.shape), list(other.shape)]}
    return {
        "voxels": int(one.size),
        "differing": int((one != other).sum()),
        "labels": [int(value) for value in np.unique(other)],
    }


def are_plans_old(model: Path, configuration: str) -> bool:
    """Whether a results folder has plans of the older format, which name a class of networks, not an architecture."""
    plans = json.loads(next(iter(sorted(model.rglob("plans.json")))).read_text(encoding="utf-8"))
    return "architecture" not in plans["configurations"][configuration]


def facts(imported: Path) -> dict[str, Any]:
    """What kind of model it is, as a reader of the figures wants to know."""
    manifest = load_imported(imported).manifest
    plan = manifest.plan
    return {
        "dataset": plan.dataset,
        "configuration": plan.configuration,
        "plans": plan.plans,
        "network": plan.network.kind,
        "dimension": plan.network.dimension,
        "patch": list(plan.preparation.patch),
        "channels": len(plan.structures.channels),
        "structures": len(plan.structures.entries),
        "are_regions": plan.structures.are_regions,
        "folds": [fold.name for fold in manifest.origin.folds],
    }


def main(words: list[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--folds", nargs="*", default=[])
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--made", action="store_true", help="images made of the first one, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    return _run_engine(arguments) if arguments.engine else _compare_all(arguments, words)


def _run_engine(arguments: argparse.Namespace) -> int:
    channels = arguments.images[0].split(",")
    if arguments.engine == "ours":
        labels, cost = ours(arguments.model, channels, mirror=arguments.mirror)
    else:
        labels, cost = theirs(arguments.model, arguments.folds, channels, mirror=arguments.mirror)
    np.save(arguments.output, labels)
    sys.stdout.write(json.dumps(cost) + "\n")
    return 0


def _compare_all(arguments: argparse.Namespace, words: list[str]) -> int:
    images = [[Path(name) for name in image.split(",")] for image in arguments.images]
    with tempfile.TemporaryDirectory() as folder:
        imported = Path(folder) / f"model{ENDING}"
        import_model(arguments.model, imported, Choice(folds=tuple(arguments.folds)), "of the benchmark")
        asked = [(channels, AS_IT_IS) for channels in images]
        if arguments.made:
            asked += [(written(kind, images[0], Path(folder) / kind), kind) for kind in MADE]
        rows = []
        for channels, kind in asked:
            rows.append(compare(arguments, imported, channels, kind))
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
        known = facts(imported)
        if arguments.model.is_dir():
            known["old_plans"] = are_plans_old(arguments.model, known["configuration"])
        content = {"model": known, "mirrored": arguments.mirror, "images": rows}
    if arguments.json:
        content |= origin(f"python -m {PROGRAM}", words, torch.get_num_threads())
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
