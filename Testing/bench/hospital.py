"""Growth to what hospitals have, part by part: ``python -m Testing.bench.hospital --json FILE``.

Models of 1, 10 and 100 tasks in a file; a series of 200 frames in one process; the memory of 1000 x 512 x 512 voxels
with 120 classes, as it is planned. What is in FILE already is not measured again, so that a run goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MultiTaskSegLib.runtime.hosting.memory_estimate import RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import USABLE_SHARE
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.bench.growth_law import exponent
from Testing.bench.one_run import ENVIRONMENT
from Testing.bench.untrained_model import write_untrained_model
from trainer.report.origin import origin

TASKS, CLASSES_OF_A_TASK = (1, 10, 100), 3
IMAGE_ZYX, FRAME_ZYX, FRAMES = (120, 128, 128), (16, 128, 128), 200
LARGE_ZYX, LARGE_CLASSES, HOST_BYTES = (1000, 512, 512), 120, 8_000_000_000
Found = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, write after each part; the exit code."""
    options = _parser().parse_args(arguments)
    parts: dict[str, Callable[[], Found]] = {
        **{f"tasks {n}": (lambda n=n: with_tasks(n, tuple(options.volume), options.threads)) for n in options.tasks},
        "series": lambda: series(options.frames, tuple(options.frame), options.threads),
        "large": lambda: planned(tuple(options.large), options.large_classes),
    }
    found = _so_far(options.json) | origin("python -m Testing.bench.hospital", arguments, options.threads)
    for name, measure in parts.items():
        if name not in found["parts"]:
            sys.stderr.write(f"{name}\n")
            found["parts"][name] = measure()
            _write(options.json, found)
    found["laws"] = laws(found["parts"])
    _write(options.json, found)
    sys.stdout.write(json.dumps({"parts": found["parts"], "laws": found["laws"]}, indent=1) + "\n")
    return 0


def with_tasks(tasks: int, shape: tuple[int, int, int], threads: int) -> Found:
    """A model of so many tasks: its file, loading, and a segmentation with ``auto``."""
    with tempfile.TemporaryDirectory() as name:
        path = write_untrained_model(Path(name) / "m.mts.safetensors", CLASSES_OF_A_TASK, tasks=tasks)
        request = {"model": str(path), "shape_zyx": shape, "frames": 1, "told_at": [1], "threads": threads}
        return {"tasks": tasks, "file_mb": path.stat().st_size / 1e6, **_run(request, Path(name))}


def series(frames: int, shape: tuple[int, int, int], threads: int) -> Found:
    """Frames one after the other in one process, as of a cine image: what the last ones cost beside the first."""
    with tempfile.TemporaryDirectory() as name:
        path = write_untrained_model(Path(name) / "m.mts.safetensors", CLASSES_OF_A_TASK)
        told_at = sorted({1, 2, max(1, frames // 4), max(1, frames // 2), frames})
        request = {"model": str(path), "shape_zyx": shape, "frames": frames, "told_at": told_at, "threads": threads}
        return {"frames": frames, **_run(request, Path(name))}


def planned(shape: tuple[int, int, int], classes: int) -> Found:
    """What a run takes with ever smaller parts, as the plan has it; nothing is computed.

    Returns:
        ``steps_mb`` by step down the ladder, and ``first_fitting_step`` with 8 GB free; None where none fits.
    """
    with tempfile.TemporaryDirectory() as name:
        manifest, _ = read_manifest(write_untrained_model(Path(name) / "m.mts.safetensors", classes))
    # Nothing is allocated: only the shape counts.
    volume = Volume(np.broadcast_to(np.float32(0), shape), np.eye(4), "large")
    task = manifest.tasks[0]
    memory = RunMemory(manifest, [task.profile], volume, Purpose(task.name), torch.device("cpu"))
    needed = [memory.at(step).host_bytes(is_on_host=True) for step in range(memory.steps)]
    fits = [step for step, size in enumerate(needed) if size <= USABLE_SHARE * HOST_BYTES]
    return {
        "shape_zyx": list(shape),
        "voxels": prod(shape),
        "classes": classes,
        "host_gb": HOST_BYTES / 1e9,
        "steps_mb": [round(size / 1e6) for size in needed],
        "first_fitting_step": fits[0] if fits else None,
    }


def laws(parts: Found) -> Found:
    """Powers with which file, loading and segmentation grow with the number of tasks; less than two say nothing."""
    by_tasks = [own for name, own in parts.items() if name.startswith("tasks ")]
    counts = [own["tasks"] for own in by_tasks]
    costs = {key: [own[key] for own in by_tasks] for key in ("file_mb", "load_s")}
    costs["cpu_s"] = [own["told"][-1]["cpu_s"] for own in by_tasks]
    return {f"{key}_exponent": exponent(counts, values) for key, values in costs.items()}


def _run(request: Found, folder: Path) -> Found:
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": str(request["threads"])}
    command = [sys.executable, "-m", "Testing.bench.hospital_run", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"the run failed: {done.stderr.strip()[-800:]}")
    found: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _so_far(path: Path) -> Found:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {"parts": {}}


def _write(path: Path, found: Found) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.hospital", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where figures are, and go")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tasks", type=int, nargs="*", default=list(TASKS))
    parser.add_argument("--volume", type=int, nargs=3, default=list(IMAGE_ZYX), metavar=("Z", "Y", "X"))
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--frame", type=int, nargs=3, default=list(FRAME_ZYX), metavar=("Z", "Y", "X"))
    parser.add_argument("--large", type=int, nargs=3, default=list(LARGE_ZYX), metavar=("Z", "Y", "X"))
    parser.add_argument("--large-classes", type=int, default=LARGE_CLASSES)
    return parser


if __name__ == "__main__":
    sys.exit(main())
