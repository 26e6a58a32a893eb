"""Measures how much memory one run takes: ``python -m Testing.runtime.memory_probe Z Y X SPACING_MM TASK``.

Prints the peak of resident memory during a run of the released 3-D model beyond what the loaded and warm model takes,
in bytes, and the estimate. Linux only: the peak is the kernel's high-water mark (``VmHWM``), set back before the run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.hosting.memory_estimate import default_slab_voxels
from MultiTaskSegLib.runtime.hosting.run_plan import estimator
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import CPU
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.predictor import Predictor

CHECK = "check"
WARM_SHAPE = (16, 24, 24)


def resident_bytes(line: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(text for text in lines if text.startswith(line)).split()[1])


def smooth_noise(shape: tuple[int, ...], spacing_mm: float) -> Volume:
    """An image with a bright ball, so that the result has a surface, and noise."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    ball = sum(axis**2 for axis in axes) < 0.5
    noise = np.random.default_rng(0).normal(100.0, 20.0, shape).astype(np.float32)
    return Volume(noise + 100 * ball.astype(np.float32), np.diag([spacing_mm] * 3 + [1.0]))


def main() -> None:
    """Run once small to load what is loaded late, then measure."""
    shape, spacing_mm, task = tuple(int(n) for n in sys.argv[1:4]), float(sys.argv[4]), sys.argv[5]
    predictor = Predictor.load(released_model(planar=False), CPU)

    def run(volume: Volume) -> None:
        """What is measured."""
        if task == CHECK:
            predictor.check(volume)
        else:
            predictor.segment(volume, task)

    run(smooth_noise(WARM_SHAPE, spacing_mm))
    release_freed_memory()
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    volume = smooth_noise(shape, spacing_mm)
    run(volume)
    peak = resident_bytes("VmHWM") - before
    wanted = None if task == CHECK else task
    candidates = predictor.candidate_profiles(volume)
    estimate = estimator(predictor.manifest, candidates, volume, wanted)(default_slab_voxels(is_on_host=True))
    sys.stdout.write(f"{peak} {estimate.host_bytes(is_on_host=True)}\n")


if __name__ == "__main__":
    main()
