"""nnU-Net's own prediction and ours, voxel by voxel: ``python -m Testing.bench.nnunet_parity MODEL IMAGE...``.

Needs an environment with nnunetv2 (``pip install nnunetv2`` beside this project's own). MODEL is a results folder or
zip file; an IMAGE with several channels is given as its files joined by commas. Each engine runs in a process of its
own, which tells its CPU seconds and its peak of memory beyond what it held before the prediction.
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
from Testing.bench.process_memory import PeakMemory
from trainer.report.origin import machine_facts

ENGINES = ("ours", "nnunet")
Labels = NDArray[np.uint16]


def channels_of(image: str) -> tuple[NDArray[np.float32], list[float]]:
    """Channels ``(C, Z, Y, X)`` as stored, and the spacing along these axes in millimetres."""
    images = [sitk.ReadImage(name) for name in image.split(",")]
    arrays = [sitk.GetArrayFromImage(found).astype(np.float32) for found in images]
    spacing_mm = [abs(edge) for edge in images[0].GetSpacing()[::-1]]
    if arrays[0].ndim == 2:
        return np.stack(arrays)[:, None], [999 * max(spacing_mm), *spacing_mm]
    return np.stack(arrays), spacing_mm


def ours(model: Path, folds: list[str], image: str, *, mirror: bool) -> tuple[Labels, dict[str, float]]:
    """Labels by the model file that an import writes, and what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{ENDING}"
        import_model(model, path, Choice(folds=tuple(folds)), "of the benchmark")
        predictor = ImportedPredictor(load_imported(path), torch.device("cpu"), mirror=mirror)
    volume = joined([read_image(name) for name in image.split(",")])
    memory, started_s, clock_s = PeakMemory(), used_cpu_s(), time.monotonic()
    labels = predictor.segment(volume).labels
    return labels.astype(np.uint16), _cost(memory, started_s, clock_s)


def theirs(model: Path, folds: list[str], image: str, *, mirror: bool) -> tuple[Labels, dict[str, float]]:
    """Labels by nnU-Net's predictor, and what they cost."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]

    predictor = nnUNetPredictor(
        use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False, perform_everything_on_device=False
    )
    predictor.initialize_from_trained_model_folder(str(model), folds or None)
    channels, spacing_mm = channels_of(image)
    memory, started_s, clock_s = PeakMemory(), used_cpu_s(), time.monotonic()
    found = predictor.predict_single_npy_array(channels, {"spacing": spacing_mm})
    return found.astype(np.uint16), _cost(memory, started_s, clock_s)


def _cost(memory: PeakMemory, started_s: float, clock_s: float) -> dict[str, float]:
    return {
        "cpu_s": used_cpu_s() - started_s,
        "wall_s": time.monotonic() - clock_s,
        "peak_mb": memory.above_start_mb(),
    }


def compare(arguments: argparse.Namespace, image: str) -> dict[str, Any]:
    """Run both engines on an image and compare their labels."""
    found: dict[str, Any] = {"image": ",".join(Path(name).name for name in image.split(","))}
    labels = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in ENGINES:
            output = Path(folder) / f"{engine}.npy"
            command = [sys.executable, "-m", "Testing.bench.nnunet_parity", str(arguments.model), image]
            command += ["--engine", engine, "--output", str(output), *(["--mirror"] if arguments.mirror else [])]
            command += ["--folds", *arguments.folds] if arguments.folds else []
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            found[engine] = json.loads(told.stdout.splitlines()[-1])
            labels[engine] = np.load(output)
    same = labels["ours"] == labels["nnunet"]
    found["voxels"], found["differing"] = int(same.size), int((~same).sum())
    found["labels"] = [int(n) for n in np.unique(labels["nnunet"])]
    return found


def main(words: list[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.nnunet_parity", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--folds", nargs="*", default=[])
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.engine:
        run = ours if arguments.engine == "ours" else theirs
        labels, cost = run(arguments.model, arguments.folds, arguments.images[0], mirror=arguments.mirror)
        np.save(arguments.output, labels)
        sys.stdout.write(json.dumps(cost) + "\n")
        return 0
    rows = [compare(arguments, image) for image in arguments.images]
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    if arguments.json:
        content = {
            "command": "python -m Testing.bench.nnunet_parity",
            "machine": machine_facts(torch.get_num_threads()),
            "images": rows,
        }
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
