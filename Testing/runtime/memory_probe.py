"""Measures how much memory one run takes: ``python -m Testing.runtime.memory_probe Z Y X SPACING_MM TASK [STEP]``.

With ``--first`` the back end is chosen (compiled, tried) within what is measured.

Prints the peak of resident memory during a run of a released model beyond what the loaded and warm model takes, in
bytes, and the estimate; TASK may be ``auto``, ``check`` or ``locate``, one slice is a 2-D image, and STEP goes down the
ladder of parts; with ``--thorough`` further looks follow. Linux only: the peak is the kernel's high-water mark
(``VmHWM``), set back before the run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from MultiTaskSegLib.runtime.hosting.memory_estimate import RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import CPU
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.selection.selection import Selection

PURPOSES = {"check": CHECK, "locate": LOCATE}
WARM_SHAPE, WARM_PLANE = (16, 24, 24), (1, 64, 64)


def resident_bytes(line: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(text for text in lines if text.startswith(line)).split()[1])


def smooth_noise(shape: tuple[int, ...], spacing_mm: float) -> Volume:
    """An image with a bright ball, so that the result has a surface, and noise; made slice by slice."""
    generator = np.random.default_rng(0)
    voxels = np.empty(shape, dtype=np.float32)
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in shape)
    for number, plane in enumerate(voxels):
        ball = z[number] ** 2 + y[:, None] ** 2 + x[None] ** 2 < 0.5
        plane[:] = generator.normal(100.0, 20.0, plane.shape) + 100 * ball
    return Volume(voxels, np.diag([spacing_mm] * 3 + [1.0]))


def _untold(share: float, step: str) -> None:
    """Nobody wants to know."""


def main() -> None:
    """Run once small to load what is loaded late, then measure."""
    parser = argparse.ArgumentParser(prog="python -m Testing.runtime.memory_probe", description=__doc__)
    parser.add_argument("size", type=int, nargs=3, metavar="N", help="voxels along z, y and x")
    parser.add_argument("spacing_mm", type=float, help="of every axis")
    parser.add_argument("task", help="of the released model, or auto, check or locate")
    parser.add_argument("step", type=int, nargs="?", default=0, help="down the ladder of parts")
    parser.add_argument("--first", action="store_true", help="measure also what the first run of a model takes")
    parser.add_argument("--thorough", action="store_true", help="with further looks at changed copies of the image")
    options = parser.parse_args()
    shape, spacing_mm, task, step = tuple(options.size), options.spacing_mm, options.task, options.step
    is_planar = shape[0] == 1
    predictor = Predictor.load(released_model(is_planar), CPU)
    purpose = PURPOSES.get(task, Purpose(task, is_thorough=options.thorough))

    def run(volume: Volume) -> None:
        """What is measured."""
        if purpose.task:
            Selection(purpose.task, is_thorough=purpose.is_thorough).segment(predictor, volume, _untold)
        elif purpose.with_map:
            predictor.locate(volume)
        else:
            predictor.check(volume)

    predictor.spares_memory = options.first
    run(smooth_noise(WARM_PLANE if is_planar else WARM_SHAPE, spacing_mm))
    predictor.spares_memory = False
    release_freed_memory()
    before = resident_bytes("VmRSS")
    volume = smooth_noise(shape, spacing_mm)
    remembered = max(len(cells.memory) for cells in predictor.model.memories)
    candidates = predictor.candidate_profiles(volume)
    memory = RunMemory(
        predictor.manifest, candidates, volume, purpose, torch.device(CPU), remembered, predictor.prospect
    )
    estimate = memory.at(step).host_bytes(is_on_host=True)
    release_freed_memory()
    predictor.memory_step = step
    Path("/proc/self/clear_refs").write_text("5")
    run(volume)
    sys.stdout.write(f"{resident_bytes('VmHWM') - before} {estimate}\n")


if __name__ == "__main__":
    main()
