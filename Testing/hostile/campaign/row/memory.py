"""Workers without enough memory, and what is told of memory before a run against what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from MultiTaskSegLib.job import JobRunner
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.worker_process import worker_environment
from Testing.bench.memory import TASK
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.runtime.tiny_model import write_tiny_model

LIMITED_WORKER = """
import resource, sys
from MultiTaskSegLib.runtime import predictor, worker
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv.pop(1)),) * 2)
sys.exit(worker.main(sys.argv[1:]))
"""
SIZES = {"24": (24, 48, 48), "48": (48, 96, 96), "96": (96, 128, 128), "128": (128, 192, 192), "160": (160, 224, 224)}
# MB beyond what the worker takes with its libraries loaded.
CAPS_MB = (20, 80, 320, 1280)
# So much is enough, however little the parts are: a worker that refuses everything would keep the rest of the promise.
ENOUGH = ("cap of 320 MB on 24", "cap of 1280 MB on 24")
ESTIMATES = (
    f"96 160 160 1 {TASK}", "96 160 160 1 auto", "160 192 192 1 auto", f"160 192 192 1 {TASK}", "160 192 192 1 check",
    "160 192 192 1 locate", "1 2000 2000 0.5 auto",
)  # fmt: skip
MOST = 1.3
REPOSITORY = Path(__file__).resolve().parents[4]


def attempt(case: str, ground: Ground) -> None:
    """``cap of MB on SIZE`` or ``estimate: RUN``."""
    if not Path("/proc/self/clear_refs").exists():
        raise NotHere("this system does not tell the peak of memory")
    if case.startswith("estimate: "):
        told(case.removeprefix("estimate: "))
        return
    cap_mb, _, size = case.removeprefix("cap of ").partition(" MB on ")
    model = ground.once("tiny.mts.safetensors", write_tiny_model)
    voxels = np.random.default_rng(3).normal(100.0, 30.0, SIZES[size]).astype(np.float32)
    image = Volume(voxels, np.diag([1.0, 1.0, 1.0, 1.0]), name="noise")
    runner = JobRunner([sys.executable, "-c", LIMITED_WORKER, str(int(cap_mb) << 20)])
    try:
        found = runner.segment(image, model=model, device="cpu").wait(300)
        require(found.labels is not None and found.labels.shape == image.shape, "no result")
    except ResourceError as refused:
        require(case not in ENOUGH, f"refused, although there is enough: {refused}")
        require("memory" in str(refused).lower(), f"says {refused}")
        # What the worker says comes over whole: what happened, and then what to do.
        require(str(refused).count(". ") > 0, f"no advice: {refused}")
    finally:
        runner.close()


def told(run: str) -> None:
    """Require that the estimate is not below the peak and not far above it."""
    command = [sys.executable, "-m", "Testing.runtime.memory_probe", *run.split()]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True, env={**worker_environment()}
    )
    peak, estimate = (int(number) for number in done.stdout.split())
    require(peak <= estimate, f"told {estimate / 1e6:.0f} MB, took {peak / 1e6:.0f} MB")
    require(estimate <= MOST * peak, f"told {estimate / 1e6:.0f} MB, took only {peak / 1e6:.0f} MB")


MEMORY = ListedTrial(
    "memory",
    f"workers capped at {len(CAPS_MB)} limits on images of {len(SIZES)} sizes; memory told before a run, and its peak",
    "a result or a word on memory, and the parent lives; told is never below the peak and at most 30 % above",
    (
        *(f"cap of {cap} MB on {size}" for size in SIZES for cap in CAPS_MB),
        *(f"estimate: {run}" for run in ESTIMATES),
    ),
    attempt,
)
