"""What a region costs and how its labels differ: ``python -m Testing.bench.region_cost IMAGE TASK [MODEL]``.

A box of an eighth of the image, around the middle of what the whole run finds, in CPU seconds of one process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.released import released_model
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from MultiTaskSegLib.runtime.selection.region import Region
from MultiTaskSegLib.runtime.selection.selection import Selection


def eighth(volume: Volume, middle_zyx: NDArray[np.float64]) -> Region:
    """A box of half the image's length along each axis, inside it, as near to a place as that allows."""
    shape = np.array(volume.shape)
    start = np.clip(np.round(middle_zyx - shape / 4), 0, shape - shape // 2)
    centre_ijk = (start + (shape // 2 - 1) / 2)[::-1]
    matrix = volume.ijk_to_ras
    size_mm = np.asarray(volume.spacing_mm) * (shape // 2)[::-1]
    axes = (matrix[:3, :3] / np.asarray(volume.spacing_mm)).T
    centre = matrix[:3, :3] @ centre_ijk + matrix[:3, 3]
    return Region.from_dict({"centre_ras_mm": centre, "size_mm": size_mm, "axes_ras": axes})


def timed(act: Callable[[], Segmentation]) -> tuple[Segmentation, float]:
    """What an act returns, and its CPU seconds."""
    begun = time.process_time()
    found = act()
    return found, time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a region costs and how its labels differ.")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("task", metavar="TASK")
    parser.add_argument("model", type=Path, nargs="?", metavar="MODEL")
    options = parser.parse_args()
    volume, task = read_image(options.image), options.task
    model = Predictor.load(options.model or released_model(volume.is_planar), "cpu", "torch")
    whole, whole_s = timed(lambda: model.segment(volume, task))
    places = np.argwhere(whole.labels > 0)
    region = eighth(volume, places.mean(axis=0) if len(places) else np.array(volume.shape) / 2)
    found, region_s = timed(lambda: Selection(task, region).segment(model, volume, lambda share, step: None))
    inside = np.asarray(found.inside)
    one, other = found.labels[inside], whole.labels[inside]
    lines = [
        f"region: {100 * inside.mean():.1f} % of the voxels",
        f"CPU: {region_s:.1f} of {whole_s:.1f} s, ratio {region_s / whole_s:.3f}",
        f"labels that differ in the region: {100 * (one != other).mean():.3f} %",
    ]
    for label in found.task.labels:
        mine, theirs = one == label.value, other == label.value
        if theirs.any():
            lines.append(f"  {label.name}: Dice {2 * (mine & theirs).sum() / (mine.sum() + theirs.sum()):.4f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
