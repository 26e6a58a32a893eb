"""Several runs at once and the same run again: the same labels, and with as many threads the same files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.worker_process import worker_environment
from Testing.hostile.campaign.trial import Ground, ListedTrial, require
from Testing.runtime.tiny_model import write_tiny_model

REPEATS, THREADS = 10, (1, 2)
MAPS = ("segmentation.nii.gz", "uncertainty.nii.gz")


def started(ground: Ground, out: Path, threads: int) -> subprocess.Popen[str]:
    """The command line on the image of the row."""
    image = ground.once("image.nii.gz", write_image)
    model = ground.once("tiny.mts.safetensors", write_tiny_model)
    words = ["segment", str(image), "-m", str(model), "-o", str(out), "--device", "cpu"]
    environment = {**worker_environment(), "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.cli", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def write_image(path: Path) -> None:
    """A ball in noise."""
    z, y, x = np.ogrid[-1:1:24j, -1:1:40j, -1:1:44j]
    voxels = 100 + 200 * (z**2 + y**2 + x**2 < 0.4) + np.random.default_rng(2).normal(0, 20, (24, 40, 44))
    sitk.WriteImage(sitk.GetImageFromArray(voxels.astype(np.float32)), str(path))


def ended(process: subprocess.Popen[str]) -> None:
    """Wait for the end, which must be good."""
    _, said = process.communicate()
    require(process.returncode == 0, f"exit code {process.returncode}: {said[-200:]}")


def alone(ground: Ground, threads: int) -> Path:
    """Results of one run that had the machine for itself, made once."""

    def make(out: Path) -> None:
        ended(started(ground, out, threads))

    return ground.once(f"alone-{threads}", make)


def digests(out: Path) -> dict[str, str]:
    """Of the voxels of each map: headers may say when they were written."""
    arrays = {name: sitk.GetArrayFromImage(sitk.ReadImage(str(out / name))) for name in MAPS}
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def attempt(case: str, ground: Ground) -> None:
    """``COUNT at once, THREADS threads #NUMBER``."""
    count, threads = (int(word) for word in case.partition(" #")[0].split() if word.isdigit())
    expected, first = digests(alone(ground, threads)), digests(alone(ground, THREADS[0]))
    folders = [ground.folder / str(number) for number in range(count)]
    for process in [started(ground, folder, threads) for folder in folders]:
        ended(process)
    for folder in folders:
        found = digests(folder)
        require(found == expected, f"other voxels: {[name for name in MAPS if found[name] != expected[name]]}")
        require(found[MAPS[0]] == first[MAPS[0]], "other labels than with one thread")


TOGETHER = ListedTrial(
    "together",
    f"1, 2 and 4 runs at once with {' and '.join(map(str, THREADS))} threads, {REPEATS} times",
    "the same labels always; the same voxels to the bit with as many threads",
    tuple(f"{count} at once, {threads} threads #{number}"
          for number in range(REPEATS) for count in (1, 2, 4) for threads in THREADS),
    attempt,
)  # fmt: skip
