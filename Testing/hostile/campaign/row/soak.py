"""Hundreds of runs in one worker: its memory, its open files and its folder do not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.runtime.tiny_model import write_tiny_model

RUNS = 300
GROWTH = 0.05


def attempt(case: str, ground: Ground) -> None:
    """``COMMAND, COUNT``: the first tenth loads what is loaded late."""
    command, _, count = case.partition(", ")
    if not Path("/proc/self/status").exists():
        raise NotHere("this system does not tell the memory of another process")
    model = ground.once("tiny.mts.safetensors", lambda path: write_tiny_model(path, with_cells=True))
    runner = JobRunner()
    try:
        soaked(runner, command, int(count), model)
    finally:
        runner.close()


def soaked(runner: JobRunner, command: str, count: int, model: Path) -> None:
    """Run so often and compare the worker's state after the first tenth with that at the end."""
    first: tuple[int, int, int] | None = None
    for number in range(count):
        shape = (10 + number % 5, 24 + number % 7, 28)
        voxels = np.random.default_rng(number).normal(100.0, 30.0, shape).astype(np.float32)
        image = Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), name=f"image {number}")
        start = {"segment": runner.segment, "check": runner.check}[command]
        start(image, model=model, device="cpu").wait(120)
        if number == max(1, count // 10) - 1:
            first = state(runner)
    last = state(runner)
    assert first is not None
    require(last[1] <= first[1] + 2, f"{last[1]} open files, {first[1]} after the first tenth")
    require(last[2] <= first[2] + 2, f"{last[2]} files in its folder, {first[2]} after the first tenth")
    grown = last[0] / first[0] - 1
    require(count < RUNS or grown < GROWTH, f"memory grew by {100 * grown:.1f} %")


def state(runner: JobRunner) -> tuple[int, int, int]:
    """Resident kB of the worker, its open files, and the files in its folder."""
    worker = runner._worker
    place = Path("/proc") / str(worker.process.pid)
    line = next(line for line in (place / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]), len(list((place / "fd").iterdir())), len(list(worker.folder.rglob("*")))


SOAK = ListedTrial(
    "soak",
    f"{RUNS} segmentations, and {RUNS} checks, of images of changing size in one worker",
    "after the first tenth its memory grows by less than 5 %, its open files and its folder not at all",
    (f"segment, {RUNS}", f"check, {RUNS}"),
    attempt,
    RUNS,
)
