"""Workers without enough memory, and what is told of memory before a run against what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.job_result import JobResult
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.memory_estimate import RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import USABLE_SHARE
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import CPU
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.worker_process import DeadWorkerError, worker_environment
from Testing.bench.memory import TASK
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, NotHere, require
from Testing.runtime.tiny_model import write_tiny_model

LIMITED_WORKER = str(Path(__file__).resolve().parents[1] / "limited_worker.py")
SIZES = {"24": (24, 48, 48), "48": (48, 96, 96), "96": (96, 128, 128), "128": (128, 192, 192), "160": (160, 224, 224)}
# MB beyond what the worker takes with its libraries loaded.
CAPS_MB = (20, 80, 320, 1280)
# Of these the network can take much smaller parts than it wants to.
PARTED, BALLS = ("48", "96", "128"), "Dataset001_Balls"
LEAST_EQUAL = 0.999
# So much is enough, however little the parts are: a worker that refuses everything would keep the rest of the promise.
ENOUGH = ("cap of 320 MB on 24", "cap of 1280 MB on 24")
ESTIMATES = (
    f"96 160 160 1 {TASK}", "96 160 160 1 auto", "160 192 192 1 auto", f"160 192 192 1 {TASK}", "160 192 192 1 check",
    "160 192 192 1 locate", "1 2000 2000 0.5 auto",
)  # fmt: skip
MOST, REPEATS = 1.3, 3
REPOSITORY = Path(__file__).resolve().parents[4]


def attempt(case: str, ground: Ground) -> None:
    """``cap of MB on SIZE``, ``smaller parts of SIZE`` or ``estimate: RUN``."""
    if not Path("/proc/self/clear_refs").exists():
        raise NotHere("this system does not tell the peak of memory")
    if case.startswith("estimate: "):
        told(case.removeprefix("estimate: "))
    elif case.startswith("smaller parts of "):
        in_smaller_parts(image(case.removeprefix("smaller parts of ")), ground)
    else:
        cap_mb, _, size = case.removeprefix("cap of ").partition(" MB on ")
        capped(int(cap_mb) << 20, image(size), ground, is_enough=case in ENOUGH)


def image(size: str) -> Volume:
    """Noise, voxels of 1 mm."""
    voxels = np.random.default_rng(3).normal(100.0, 30.0, SIZES[size]).astype(np.float32)
    return Volume(voxels, np.diag([1.0, 1.0, 1.0, 1.0]), name="noise")


def segmented(volume: Volume, ground: Ground, *, cap_bytes: int = 0, free_bytes: int = 0) -> JobResult:
    """By a worker that can take so much memory, or is told that so much is free.

    Raises:
        ResourceError: it says that this is too little.
    """
    model = ground.once("tiny.mts.safetensors", write_tiny_model)
    limits = [str(cap_bytes), str(free_bytes), str(ground.folder / "tried")]
    runner = JobRunner([sys.executable, LIMITED_WORKER, *limits])
    try:
        found = runner.segment(volume, task=BALLS, model=model, device="cpu").wait(300)
    finally:
        runner.close()
    require(found.labels is not None and found.labels.shape == volume.shape, "no result")
    return found


def capped(cap_bytes: int, volume: Volume, ground: Ground, *, is_enough: bool) -> None:
    """Require a result, or a refusal in words after everything was tried."""
    tried = ground.folder / "tried"
    try:
        found = segmented(volume, ground, cap_bytes=cap_bytes)
    except ResourceError as refused:
        require(not is_enough, f"refused, although there is enough: {refused}")
        # The advice after a death is on memory whatever the worker died of.
        require("memory" in refused.what or is_out_of_memory(RuntimeError(refused.what)), f"says {refused}")
        # What the worker says comes over whole: what happened, and then what to do.
        require(str(refused).count(". ") > 0, f"no advice: {refused}")
        if not isinstance(refused, DeadWorkerError):  # which a library ended before it could try any more
            require_stepped_down(tried.read_text() if tried.exists() else "", is_told=True)
    else:
        require_stepped_down(tried.read_text(), is_told=IN_PARTS in found.report["warnings"])


def require_stepped_down(tried: str, *, is_told: bool) -> None:
    """Require that no pass gave up before the smallest parts, and that the user knows of smaller ones.

    Args:
        tried: what `limited_worker` wrote.
        is_told: whether the user knows.
    """
    for lines in (part.split() for part in tried.split("pass ")[1:]):
        steps, tries = int(lines[0]), lines.count("tried")
        require("enough" in lines or tries == steps, f"{tries} of {steps} sizes of parts were tried")
        require(tries == 1 or is_told, f"{tries} sizes of parts were tried, and nobody is told")


def in_smaller_parts(volume: Volume, ground: Ground) -> None:
    """Require the labels of a run with all the memory from one with too little for the parts it would like."""
    predictor = Predictor.load(ground.once("tiny.mts.safetensors", write_tiny_model), CPU)
    candidates = predictor.candidate_profiles(volume)
    memory = RunMemory(predictor.manifest, candidates, volume, Purpose(BALLS), torch.device(CPU))
    large, small = (memory.at(step).host_bytes(is_on_host=True) for step in (0, 1))
    require(small < large, "smaller parts need no less memory")
    try:
        found = segmented(volume, ground, free_bytes=int((large + small) / 2 / USABLE_SHARE))
    except ResourceError as refused:
        raise Broken(f"refused, although smaller parts fit: {refused}") from refused
    require(IN_PARTS in found.report["warnings"], "in smaller parts, and nobody is told")
    expected = predictor.segment(volume, BALLS).labels
    require(len(np.unique(expected)) > 1, "there is nothing to compare")
    equal = float((found.labels == expected).mean())
    require(equal > LEAST_EQUAL, f"only {100 * equal:.2f} % of the labels are those of large parts")


def told(run: str) -> None:
    """Require that the estimate is not below any peak and not far above the largest.

    Peaks of the same run differ by up to a third, by which threads free and take memory first.
    """
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    peaks = []
    for _ in range(REPEATS):
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True, env={**worker_environment()}
        )
        peak, estimate = (int(number) for number in done.stdout.split())
        peaks.append(peak)
        require(peak <= estimate, f"told {estimate / 1e6:.0f} MB, took {peak / 1e6:.0f} MB")
    require(estimate <= MOST * max(peaks), f"told {estimate / 1e6:.0f} MB, took only {max(peaks) / 1e6:.0f} MB")


MEMORY = ListedTrial(
    "memory",
    f"workers capped at {len(CAPS_MB)} limits on images of {len(SIZES)} sizes, or told of too little for large parts "
    f"of {len(PARTED)}; memory told before a run, and its peak",
    "a result or a word on memory, and the parent lives; smaller parts are tried down to the smallest, said, and give "
    f"the same labels; told is below none of {REPEATS} peaks and at most 30 % above the largest",
    (
        *(f"cap of {cap} MB on {size}" for size in SIZES for cap in CAPS_MB),
        *(f"smaller parts of {size}" for size in PARTED),
        *(f"estimate: {run}" for run in ESTIMATES),
    ),
    attempt,
)
