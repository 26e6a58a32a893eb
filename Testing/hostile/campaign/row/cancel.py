"""Runs that are cancelled wherever they stand: the worker is gone at once, and leaves no process and no file."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.job import Job
from MultiTaskSegLib.runtime.errors import Cancelled
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, NotHere, require
from Testing.runtime.imported.imported_models import results_folder
from Testing.runtime.tiny_model import write_tiny_model
from Testing.slicer.job.test_cancel_points import HaltingRuns, evenly, processes_in

PLACES, IDLE_S = 20, 2.0


def _volume() -> Volume:
    voxels = np.random.default_rng(11).normal(100.0, 30.0, (14, 18, 22)).astype(np.float32)
    return Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), name="noise")


Start = Callable[[HaltingRuns, Ground, Path], Job]
STARTS: dict[str, Start] = {
    "segment": lambda runs, ground, _: runs.runner.segment(_volume(), model=_model(ground), device="cpu"),
    "check": lambda runs, ground, _: runs.runner.check(_volume(), model=_model(ground), device="cpu", with_map=True),
    "batch": lambda runs, ground, out: runs.runner.segment_file(
        ground.once("image.nii.gz", _write_image), out / "image", model=_model(ground), device="cpu"
    ),
    "import": lambda runs, ground, out: runs.runner.import_model(
        ground.once("results", results_folder), out / "made.mts.safetensors", licence="CC0"
    ),
}


def _model(ground: Ground) -> Path:
    return ground.once("tiny.mts.safetensors", lambda path: write_tiny_model(path, with_cells=True))


def _write_image(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(_volume().voxels), str(path))


def attempt(case: str, ground: Ground) -> None:
    """``COMMAND at PLACE``: of so many places, evenly over the functions that the worker calls, in order."""
    if not sys.platform.startswith("linux"):
        raise NotHere("this system does not tell where processes work")
    command, _, number = case.partition(" at ")
    scratch, out = ground.folder / "scratch", ground.folder / "out"
    scratch.mkdir()
    out.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(scratch)
    runs = HaltingRuns(ground.folder, _model(ground))
    try:
        place = evenly(places(command, ground, runs, out), PLACES)[int(number)]
        for left in list(out.iterdir()):
            left.unlink() if left.is_file() else [file.unlink() for file in left.iterdir()]
        cancelled(runs, STARTS[command], place, ground, scratch, out)
    finally:
        runs.runner.close()
        tempfile.tempdir = before


def places(command: str, ground: Ground, runs: HaltingRuns, out: Path) -> list[tuple[int, str]]:
    """Functions in the order of their first call in one run, traced once."""

    def trace(path: Path) -> None:
        runs.order(trace=str(path))
        STARTS[command](runs, ground, out).wait(600)
        runs.runner.close()

    found = json.loads(ground.once(f"{command}.json", trace).read_text())
    runs.order()
    return [(0, "start"), *((number, name) for number, name in found)]


def cancelled(
    runs: HaltingRuns, start: Start, place: tuple[int, str], ground: Ground, scratch: Path, out: Path
) -> None:
    """Halt there, cancel, and require that nothing is left."""
    runs.order(halt_at=place[1], request=place[0])
    job = start(runs, ground, out)
    runs.wait_for_mark()
    begun_s = time.monotonic()
    job.cancel()
    idle_s = time.monotonic() - begun_s
    require(idle_s < IDLE_S, f"idle after {idle_s:.1f} s")
    require(processes_in(scratch) == [], f"{place}: a process is left")
    require(list(scratch.iterdir()) == [], f"{place}: files are left: {sorted(scratch.iterdir())[:2]}")
    files = [path.name for path in out.rglob("*") if path.is_file()]
    require(files == [], f"{place}: left {files}")
    try:
        job.result()
    except Cancelled:
        return
    raise Broken(f"{place}: not told that it was cancelled")


CANCEL = ListedTrial(
    "cancel",
    f"runs cancelled at {PLACES} places each: segmenting, checking with a map, batches, importing",
    "idle within 2 s; no process, no file and no result is left",
    tuple(f"{command} at {number}" for command in STARTS for number in range(PLACES)),
    attempt,
)
