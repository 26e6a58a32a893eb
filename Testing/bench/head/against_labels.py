"""Brain Dice on real heads that have anatomy labels: ``python -m Testing.bench.head.against_labels``.

The labels name parts of the brain; the brain as skull stripping leaves it is their closing, as for the drawn heads.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.head.real_head import RealHead, read_heads
from trainer.metrics.overlap import dice_per_label
from trainer.report.origin import origin
from trainer.report.run_folder import write_json_file
from trainer.synthesis.label_map import envelope


def brain_of(labels: NDArray[np.integer], spacing_zyx_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The brain, furrows included, of a map in which everything but 0 is a part of it.

    Args:
        labels: ``(Z, Y, X)``.
        spacing_zyx_mm: voxel size.
    """
    return envelope(labels > 0, spacing_zyx_mm)


def brain_dice(head: RealHead, predictor: Predictor, task: str) -> float:
    """Of one head, on its own grid."""
    assert head.labels is not None
    volume = read_image(head.path)
    labels, _ = read_label_map(head.labels)
    x, y, z = volume.spacing_mm
    found = predictor.segment(volume, task).labels
    return dice_per_label((found > 0).astype(np.uint8), brain_of(labels, (z, y, x)), (1,))[1]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path, help="folder with heads.csv")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("-o", "--output", type=Path, help="JSON file, to be published")
    options = parser.parse_args()
    predictor = Predictor.load(options.model)
    rows = {
        head.path.name: round(brain_dice(head, predictor, options.task), 4)
        for head in read_heads(options.heads)
        if head.labels is not None
    }
    found = {"dice": rows, "mean": float(np.mean(list(rows.values()))), "model": read_manifest(options.model)[1]}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.output:
        write_json_file(options.output, origin("python -m Testing.bench.head.against_labels", None) | found)


if __name__ == "__main__":
    main()
