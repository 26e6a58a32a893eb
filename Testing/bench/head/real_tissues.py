"""Dice of tissues on real heads that have anatomy labels: ``python -m Testing.bench.head.real_tissues``.

The labels name gyri and nuclei by Neuromorphometrics' protocol; they are merged into the classes of the target
``tissues``. Its fluid outside the ventricles is left out: that protocol labels next to none of it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.image_file import read_image, read_label_map
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.head.real_head import RealHead, read_heads
from trainer.metrics.overlap import dice_per_label
from trainer.report.origin import origin
from trainer.report.run_folder import write_json_file

# Names without their side. What is named here nowhere and has a value from 100 on is a gyrus.
MERGED = {
    "white_matter": {"Cerebral White Matter"},
    "cortex": {"Hippocampus", "Amygdala"},
    "deep_grey_matter": {
        "Accumbens Area", "Caudate", "Pallidum", "Putamen", "Thalamus Proper", "Ventral DC", "Basal Forebrain",
    },
    "ventricles": {"3rd Ventricle", "4th Ventricle", "5th Ventricle", "Inf Lat Vent", "Lateral Ventricle"},
    "cerebellum": {
        "Cerebellum Exterior", "Cerebellum White Matter", "Cerebellar Vermal Lobules I-V",
        "Cerebellar Vermal Lobules VI-VII", "Cerebellar Vermal Lobules VIII-X",
    },
    "brain_stem": {"Brain Stem"},
}  # fmt: skip
FIRST_GYRUS = 100


def tissues_by_value(names: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """The values of a label map that make up each tissue.

    Args:
        names: by value, with the side: ``Right Caudate``.
    """
    found: dict[str, list[int]] = {tissue: [] for tissue in MERGED}
    for value, name in names.items():
        plain = name.removeprefix("Right ").removeprefix("Left ")
        own = next((tissue for tissue, parts in MERGED.items() if plain in parts), None)
        if own or value >= FIRST_GYRUS:
            found[own or "cortex"].append(value)
    return {tissue: tuple(values) for tissue, values in found.items()}


def tissue_dice(
    found: NDArray[np.integer], truth: NDArray[np.integer], task: TaskInfo, values: Mapping[str, tuple[int, ...]]
) -> dict[str, float]:
    """By tissue, of label maps ``(Z, Y, X)`` on one grid."""
    own = {label.name: label.value for label in task.labels}
    return {
        tissue: dice_per_label((found == own[tissue]).astype(np.uint8), np.isin(truth, of).astype(np.uint8), (1,))[1]
        for tissue, of in values.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path, help="folder with heads.csv")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--names", type=Path, required=True, help="CSV: value, name of Neuromorphometrics' labels")
    parser.add_argument("--only", default="oasis", help="heads whose file name has this (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file, to be published")
    options = parser.parse_args()
    predictor = Predictor.load(options.model)
    (task,) = (task for task in predictor.manifest.tasks if task.name == options.task)
    values = tissues_by_value(_names(options.names))
    if missing := sorted(set(values) - {label.name for label in task.labels}):
        parser.error(f"{task.name} has no label {', '.join(missing)}: name a task of tissues")
    heads = [h for h in read_heads(options.heads) if h.labels is not None and options.only in h.path.name]
    if not heads:
        parser.error(f"{options.heads} has no head with labels and {options.only!r} in its name")
    rows = {head.path.name: _of_head(head, predictor, task, values) for head in heads}
    means = {tissue: round(float(np.mean([row[tissue] for row in rows.values()])), 4) for tissue in values}
    found = {"dice": rows, "mean": means, "mean_of_tissues": round(float(np.mean(list(means.values()))), 4)}
    found |= {"model": read_manifest(options.model)[1]}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.output:
        write_json_file(options.output, origin("python -m Testing.bench.head.real_tissues", None) | found)


def _of_head(
    head: RealHead, predictor: Predictor, task: TaskInfo, values: Mapping[str, tuple[int, ...]]
) -> dict[str, float]:
    assert head.labels is not None
    truth, _ = read_label_map(head.labels)
    found = predictor.segment(read_image(head.path), task.name).labels
    return {tissue: round(score, 4) for tissue, score in tissue_dice(found, truth, task, values).items()}


def _names(table: Path) -> dict[int, str]:
    with table.open(newline="", encoding="utf-8") as stream:
        return {int(row["value"]): row["name"] for row in csv.DictReader(stream)}


if __name__ == "__main__":
    main()
