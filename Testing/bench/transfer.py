"""How long a panel waits while a large volume goes to the worker and its result comes back.

``python -m Testing.bench.transfer [X Y Z]``. The worker is a stand-in that computes next to nothing; the figures are
the time that starting a run takes, and the longest of the polls that a panel makes until the result is there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from MultiTaskSegLib.job import POLL_INTERVAL_S, JobRunner
from MultiTaskSegLib.runtime.image.volume import Volume

FAKE_WORKER = Path(__file__).resolve().parents[1] / "slicer" / "fake_worker.py"
ROUNDS = 3


def waits_s(runner: JobRunner, volume: Volume) -> tuple[float, float]:
    """Seconds that starting a run took, and that the longest poll took."""
    began = time.perf_counter()
    job = runner.segment(volume)
    start, longest, is_done = time.perf_counter() - began, 0.0, False
    while not is_done:
        time.sleep(POLL_INTERVAL_S)
        began = time.perf_counter()
        is_done = job.poll()
        longest = max(longest, time.perf_counter() - began)
    return start, longest


def main(arguments: list[str] | None = None) -> int:
    """Print one line per round."""
    parser = argparse.ArgumentParser(description="How long a panel waits for the disk")
    parser.add_argument("size", nargs="*", type=int, default=[512, 512, 600], help="voxels along x, y and z")
    size = parser.parse_args(arguments).size
    voxels = np.random.default_rng(0).standard_normal(tuple(reversed(size)), dtype=np.float32)
    runner = JobRunner([sys.executable, str(FAKE_WORKER), "good"])
    try:
        for _ in range(ROUNDS):
            start, longest = waits_s(runner, Volume(voxels, np.eye(4), name="noise"))
            sys.stdout.write(f"start {1000 * start:.0f} ms, longest poll {1000 * longest:.0f} ms\n")
    finally:
        runner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
